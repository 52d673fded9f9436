/// Generated client implementations.
pub mod scheduler_client {
    #![allow(
        unused_variables,
        dead_code,
        missing_docs,
        clippy::wildcard_imports,
        clippy::let_unit_value,
    )]
    use tonic::codegen::*;
    use tonic::codegen::http::Uri;
    #[derive(Debug, Clone)]
    pub struct SchedulerClient<T> {
        inner: tonic::client::Grpc<T>,
    }
    impl<T> SchedulerClient<T>
    where
        T: tonic::client::GrpcService<tonic::body::Body>,
        T::Error: Into<StdError>,
        T::ResponseBody: Body<Data = Bytes> + std::marker::Send + 'static,
        <T::ResponseBody as Body>::Error: Into<StdError> + std::marker::Send,
    {
        pub fn new(inner: T) -> Self {
            let inner = tonic::client::Grpc::new(inner);
            Self { inner }
        }
        pub fn with_origin(inner: T, origin: Uri) -> Self {
            let inner = tonic::client::Grpc::with_origin(inner, origin);
            Self { inner }
        }
        pub fn with_interceptor<F>(
            inner: T,
            interceptor: F,
        ) -> SchedulerClient<InterceptedService<T, F>>
        where
            F: tonic::service::Interceptor,
            T::ResponseBody: Default,
            T: tonic::codegen::Service<
                http::Request<tonic::body::Body>,
                Response = http::Response<
                    <T as tonic::client::GrpcService<tonic::body::Body>>::ResponseBody,
                >,
            >,
            <T as tonic::codegen::Service<
                http::Request<tonic::body::Body>,
            >>::Error: Into<StdError> + std::marker::Send + std::marker::Sync,
        {
            SchedulerClient::new(InterceptedService::new(inner, interceptor))
        }
        /// Compress requests with the given encoding.
        ///
        /// This requires the server to support it otherwise it might respond with an
        /// error.
        #[must_use]
        pub fn send_compressed(mut self, encoding: CompressionEncoding) -> Self {
            self.inner = self.inner.send_compressed(encoding);
            self
        }
        /// Enable decompressing responses.
        #[must_use]
        pub fn accept_compressed(mut self, encoding: CompressionEncoding) -> Self {
            self.inner = self.inner.accept_compressed(encoding);
            self
        }
        /// Limits the maximum size of a decoded message.
        ///
        /// Default: `4MB`
        #[must_use]
        pub fn max_decoding_message_size(mut self, limit: usize) -> Self {
            self.inner = self.inner.max_decoding_message_size(limit);
            self
        }
        /// Limits the maximum size of an encoded message.
        ///
        /// Default: `usize::MAX`
        #[must_use]
        pub fn max_encoding_message_size(mut self, limit: usize) -> Self {
            self.inner = self.inner.max_encoding_message_size(limit);
            self
        }
        /// Places pods: one call, one batch.
        pub async fn schedule(
            &mut self,
            request: impl tonic::IntoRequest<crate::raw::ScheduleRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::raw::ScheduleResponse>,
            tonic::Status,
        > {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = crate::codec::WireCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.scheduler.v1.Scheduler/Schedule",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("berth.scheduler.v1.Scheduler", "Schedule"));
            self.inner.unary(req, path, codec).await
        }
        /// Places pods, pipelined: the client sends without waiting, answers come in order; queued pods are decided later here too.
        /// After the client has closed its side, the stream goes on until everything is answered and decided. When it breaks, its queued
        /// pods go on waiting; their decisions then come on Watch. A client that leaves answers unread is not read either, and its
        /// connection is cut after 30 s.
        pub async fn schedule_stream(
            &mut self,
            request: impl tonic::IntoStreamingRequest<
                Message = crate::raw::StreamRequest,
            >,
        ) -> std::result::Result<
            tonic::Response<tonic::codec::Streaming<crate::raw::StreamResponse>>,
            tonic::Status,
        > {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = crate::codec::WireCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.scheduler.v1.Scheduler/ScheduleStream",
            );
            let mut req = request.into_streaming_request();
            req.extensions_mut()
                .insert(
                    GrpcMethod::new("berth.scheduler.v1.Scheduler", "ScheduleStream"),
                );
            self.inner.streaming(req, path, codec).await
        }
        /// Registers a spec under a number, so that pods need not carry it.
        pub async fn register_template(
            &mut self,
            request: impl tonic::IntoRequest<crate::v1::RegisterTemplateRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::v1::RegisterTemplateResponse>,
            tonic::Status,
        > {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = crate::codec::WireCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.scheduler.v1.Scheduler/RegisterTemplate",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(
                    GrpcMethod::new("berth.scheduler.v1.Scheduler", "RegisterTemplate"),
                );
            self.inner.unary(req, path, codec).await
        }
        pub async fn drop_templates(
            &mut self,
            request: impl tonic::IntoRequest<crate::v1::DropTemplatesRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::v1::DropTemplatesResponse>,
            tonic::Status,
        > {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = crate::codec::WireCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.scheduler.v1.Scheduler/DropTemplates",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(
                    GrpcMethod::new("berth.scheduler.v1.Scheduler", "DropTemplates"),
                );
            self.inner.unary(req, path, codec).await
        }
        /// Gives places back.
        pub async fn release(
            &mut self,
            request: impl tonic::IntoRequest<crate::v1::ReleaseRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::v1::ReleaseResponse>,
            tonic::Status,
        > {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = crate::codec::WireCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.scheduler.v1.Scheduler/Release",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("berth.scheduler.v1.Scheduler", "Release"));
            self.inner.unary(req, path, codec).await
        }
        /// Makes leased placements final.
        pub async fn confirm(
            &mut self,
            request: impl tonic::IntoRequest<crate::v1::ConfirmRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::v1::ConfirmResponse>,
            tonic::Status,
        > {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = crate::codec::WireCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.scheduler.v1.Scheduler/Confirm",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("berth.scheduler.v1.Scheduler", "Confirm"));
            self.inner.unary(req, path, codec).await
        }
        /// Takes waiting pods out of the queue.
        pub async fn cancel(
            &mut self,
            request: impl tonic::IntoRequest<crate::v1::CancelRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::v1::CancelResponse>,
            tonic::Status,
        > {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = crate::codec::WireCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.scheduler.v1.Scheduler/Cancel",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("berth.scheduler.v1.Scheduler", "Cancel"));
            self.inner.unary(req, path, codec).await
        }
        /// Tells of changes: nodes, pods bound by others, and what else placement depends on.
        pub async fn apply(
            &mut self,
            request: impl tonic::IntoRequest<crate::v1::ApplyRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::v1::ApplyResponse>,
            tonic::Status,
        > {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = crate::codec::WireCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.scheduler.v1.Scheduler/Apply",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("berth.scheduler.v1.Scheduler", "Apply"));
            self.inner.unary(req, path, codec).await
        }
        /// Replaces all nodes, and says what differed.
        pub async fn sync_nodes(
            &mut self,
            request: impl tonic::IntoStreamingRequest<
                Message = crate::v1::SyncNodesRequest,
            >,
        ) -> std::result::Result<
            tonic::Response<crate::v1::SyncResponse>,
            tonic::Status,
        > {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = crate::codec::WireCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.scheduler.v1.Scheduler/SyncNodes",
            );
            let mut req = request.into_streaming_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("berth.scheduler.v1.Scheduler", "SyncNodes"));
            self.inner.client_streaming(req, path, codec).await
        }
        /// Replaces all bound pods, and says what differed.
        pub async fn sync_pods(
            &mut self,
            request: impl tonic::IntoStreamingRequest<
                Message = crate::v1::SyncPodsRequest,
            >,
        ) -> std::result::Result<
            tonic::Response<crate::v1::SyncResponse>,
            tonic::Status,
        > {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = crate::codec::WireCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.scheduler.v1.Scheduler/SyncPods",
            );
            let mut req = request.into_streaming_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("berth.scheduler.v1.Scheduler", "SyncPods"));
            self.inner.client_streaming(req, path, codec).await
        }
        /// Says what would be decided, and why.
        pub async fn explain(
            &mut self,
            request: impl tonic::IntoRequest<crate::v1::ExplainRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::v1::ExplainResponse>,
            tonic::Status,
        > {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = crate::codec::WireCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.scheduler.v1.Scheduler/Explain",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("berth.scheduler.v1.Scheduler", "Explain"));
            self.inner.unary(req, path, codec).await
        }
        pub async fn get_node(
            &mut self,
            request: impl tonic::IntoRequest<crate::v1::GetNodeRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::v1::GetNodeResponse>,
            tonic::Status,
        > {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = crate::codec::WireCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.scheduler.v1.Scheduler/GetNode",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("berth.scheduler.v1.Scheduler", "GetNode"));
            self.inner.unary(req, path, codec).await
        }
        pub async fn list_nodes(
            &mut self,
            request: impl tonic::IntoRequest<crate::v1::ListNodesRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::v1::ListNodesResponse>,
            tonic::Status,
        > {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = crate::codec::WireCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.scheduler.v1.Scheduler/ListNodes",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("berth.scheduler.v1.Scheduler", "ListNodes"));
            self.inner.unary(req, path, codec).await
        }
        pub async fn get_pod(
            &mut self,
            request: impl tonic::IntoRequest<crate::v1::GetPodRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::v1::GetPodResponse>,
            tonic::Status,
        > {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = crate::codec::WireCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.scheduler.v1.Scheduler/GetPod",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("berth.scheduler.v1.Scheduler", "GetPod"));
            self.inner.unary(req, path, codec).await
        }
        pub async fn list_pods(
            &mut self,
            request: impl tonic::IntoRequest<crate::v1::ListPodsRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::v1::ListPodsResponse>,
            tonic::Status,
        > {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = crate::codec::WireCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.scheduler.v1.Scheduler/ListPods",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("berth.scheduler.v1.Scheduler", "ListPods"));
            self.inner.unary(req, path, codec).await
        }
        pub async fn list_classes(
            &mut self,
            request: impl tonic::IntoRequest<crate::v1::ListClassesRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::v1::ListClassesResponse>,
            tonic::Status,
        > {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = crate::codec::WireCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.scheduler.v1.Scheduler/ListClasses",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("berth.scheduler.v1.Scheduler", "ListClasses"));
            self.inner.unary(req, path, codec).await
        }
        /// Follows decisions and changes.
        pub async fn watch(
            &mut self,
            request: impl tonic::IntoRequest<crate::v1::WatchRequest>,
        ) -> std::result::Result<
            tonic::Response<tonic::codec::Streaming<crate::v1::WatchResponse>>,
            tonic::Status,
        > {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = crate::codec::WireCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.scheduler.v1.Scheduler/Watch",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("berth.scheduler.v1.Scheduler", "Watch"));
            self.inner.server_streaming(req, path, codec).await
        }
        pub async fn stats(
            &mut self,
            request: impl tonic::IntoRequest<crate::v1::StatsRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::v1::StatsResponse>,
            tonic::Status,
        > {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = crate::codec::WireCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.scheduler.v1.Scheduler/Stats",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("berth.scheduler.v1.Scheduler", "Stats"));
            self.inner.unary(req, path, codec).await
        }
    }
}
/// Generated server implementations.
pub mod scheduler_server {
    #![allow(
        unused_variables,
        dead_code,
        missing_docs,
        clippy::wildcard_imports,
        clippy::let_unit_value,
    )]
    use tonic::codegen::*;
    /// Generated trait containing gRPC methods that should be implemented for use with SchedulerServer.
    #[async_trait]
    pub trait Scheduler: std::marker::Send + std::marker::Sync + 'static {
        /// Places pods: one call, one batch.
        async fn schedule(
            &self,
            request: tonic::Request<crate::raw::ScheduleRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::raw::ScheduleResponse>,
            tonic::Status,
        >;
        /// Server streaming response type for the ScheduleStream method.
        type ScheduleStreamStream: tonic::codegen::tokio_stream::Stream<
                Item = std::result::Result<crate::raw::StreamResponse, tonic::Status>,
            >
            + std::marker::Send
            + 'static;
        /// Places pods, pipelined: the client sends without waiting, answers come in order; queued pods are decided later here too.
        /// After the client has closed its side, the stream goes on until everything is answered and decided. When it breaks, its queued
        /// pods go on waiting; their decisions then come on Watch. A client that leaves answers unread is not read either, and its
        /// connection is cut after 30 s.
        async fn schedule_stream(
            &self,
            request: tonic::Request<tonic::Streaming<crate::raw::StreamRequest>>,
        ) -> std::result::Result<
            tonic::Response<Self::ScheduleStreamStream>,
            tonic::Status,
        >;
        /// Registers a spec under a number, so that pods need not carry it.
        async fn register_template(
            &self,
            request: tonic::Request<crate::v1::RegisterTemplateRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::v1::RegisterTemplateResponse>,
            tonic::Status,
        >;
        async fn drop_templates(
            &self,
            request: tonic::Request<crate::v1::DropTemplatesRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::v1::DropTemplatesResponse>,
            tonic::Status,
        >;
        /// Gives places back.
        async fn release(
            &self,
            request: tonic::Request<crate::v1::ReleaseRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::v1::ReleaseResponse>,
            tonic::Status,
        >;
        /// Makes leased placements final.
        async fn confirm(
            &self,
            request: tonic::Request<crate::v1::ConfirmRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::v1::ConfirmResponse>,
            tonic::Status,
        >;
        /// Takes waiting pods out of the queue.
        async fn cancel(
            &self,
            request: tonic::Request<crate::v1::CancelRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::v1::CancelResponse>,
            tonic::Status,
        >;
        /// Tells of changes: nodes, pods bound by others, and what else placement depends on.
        async fn apply(
            &self,
            request: tonic::Request<crate::v1::ApplyRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::v1::ApplyResponse>,
            tonic::Status,
        >;
        /// Replaces all nodes, and says what differed.
        async fn sync_nodes(
            &self,
            request: tonic::Request<tonic::Streaming<crate::v1::SyncNodesRequest>>,
        ) -> std::result::Result<
            tonic::Response<crate::v1::SyncResponse>,
            tonic::Status,
        >;
        /// Replaces all bound pods, and says what differed.
        async fn sync_pods(
            &self,
            request: tonic::Request<tonic::Streaming<crate::v1::SyncPodsRequest>>,
        ) -> std::result::Result<
            tonic::Response<crate::v1::SyncResponse>,
            tonic::Status,
        >;
        /// Says what would be decided, and why.
        async fn explain(
            &self,
            request: tonic::Request<crate::v1::ExplainRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::v1::ExplainResponse>,
            tonic::Status,
        >;
        async fn get_node(
            &self,
            request: tonic::Request<crate::v1::GetNodeRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::v1::GetNodeResponse>,
            tonic::Status,
        >;
        async fn list_nodes(
            &self,
            request: tonic::Request<crate::v1::ListNodesRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::v1::ListNodesResponse>,
            tonic::Status,
        >;
        async fn get_pod(
            &self,
            request: tonic::Request<crate::v1::GetPodRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::v1::GetPodResponse>,
            tonic::Status,
        >;
        async fn list_pods(
            &self,
            request: tonic::Request<crate::v1::ListPodsRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::v1::ListPodsResponse>,
            tonic::Status,
        >;
        async fn list_classes(
            &self,
            request: tonic::Request<crate::v1::ListClassesRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::v1::ListClassesResponse>,
            tonic::Status,
        >;
        /// Server streaming response type for the Watch method.
        type WatchStream: tonic::codegen::tokio_stream::Stream<
                Item = std::result::Result<crate::v1::WatchResponse, tonic::Status>,
            >
            + std::marker::Send
            + 'static;
        /// Follows decisions and changes.
        async fn watch(
            &self,
            request: tonic::Request<crate::v1::WatchRequest>,
        ) -> std::result::Result<tonic::Response<Self::WatchStream>, tonic::Status>;
        async fn stats(
            &self,
            request: tonic::Request<crate::v1::StatsRequest>,
        ) -> std::result::Result<
            tonic::Response<crate::v1::StatsResponse>,
            tonic::Status,
        >;
    }
    #[derive(Debug)]
    pub struct SchedulerServer<T> {
        inner: Arc<T>,
        accept_compression_encodings: EnabledCompressionEncodings,
        send_compression_encodings: EnabledCompressionEncodings,
        max_decoding_message_size: Option<usize>,
        max_encoding_message_size: Option<usize>,
    }
    impl<T> SchedulerServer<T> {
        pub fn new(inner: T) -> Self {
            Self::from_arc(Arc::new(inner))
        }
        pub fn from_arc(inner: Arc<T>) -> Self {
            Self {
                inner,
                accept_compression_encodings: Default::default(),
                send_compression_encodings: Default::default(),
                max_decoding_message_size: None,
                max_encoding_message_size: None,
            }
        }
        pub fn with_interceptor<F>(
            inner: T,
            interceptor: F,
        ) -> InterceptedService<Self, F>
        where
            F: tonic::service::Interceptor,
        {
            InterceptedService::new(Self::new(inner), interceptor)
        }
        /// Enable decompressing requests with the given encoding.
        #[must_use]
        pub fn accept_compressed(mut self, encoding: CompressionEncoding) -> Self {
            self.accept_compression_encodings.enable(encoding);
            self
        }
        /// Compress responses with the given encoding, if the client supports it.
        #[must_use]
        pub fn send_compressed(mut self, encoding: CompressionEncoding) -> Self {
            self.send_compression_encodings.enable(encoding);
            self
        }
        /// Limits the maximum size of a decoded message.
        ///
        /// Default: `4MB`
        #[must_use]
        pub fn max_decoding_message_size(mut self, limit: usize) -> Self {
            self.max_decoding_message_size = Some(limit);
            self
        }
        /// Limits the maximum size of an encoded message.
        ///
        /// Default: `usize::MAX`
        #[must_use]
        pub fn max_encoding_message_size(mut self, limit: usize) -> Self {
            self.max_encoding_message_size = Some(limit);
            self
        }
    }
    impl<T, B> tonic::codegen::Service<http::Request<B>> for SchedulerServer<T>
    where
        T: Scheduler,
        B: Body + std::marker::Send + 'static,
        B::Error: Into<StdError> + std::marker::Send + 'static,
    {
        type Response = http::Response<tonic::body::Body>;
        type Error = std::convert::Infallible;
        type Future = BoxFuture<Self::Response, Self::Error>;
        fn poll_ready(
            &mut self,
            _cx: &mut Context<'_>,
        ) -> Poll<std::result::Result<(), Self::Error>> {
            Poll::Ready(Ok(()))
        }
        fn call(&mut self, req: http::Request<B>) -> Self::Future {
            match req.uri().path() {
                "/berth.scheduler.v1.Scheduler/Schedule" => {
                    #[allow(non_camel_case_types)]
                    struct ScheduleSvc<T: Scheduler>(pub Arc<T>);
                    impl<
                        T: Scheduler,
                    > tonic::server::UnaryService<crate::raw::ScheduleRequest>
                    for ScheduleSvc<T> {
                        type Response = crate::raw::ScheduleResponse;
                        type Future = BoxFuture<
                            tonic::Response<Self::Response>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<crate::raw::ScheduleRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as Scheduler>::schedule(&inner, request).await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = ScheduleSvc(inner);
                        let codec = crate::codec::WireCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/berth.scheduler.v1.Scheduler/ScheduleStream" => {
                    #[allow(non_camel_case_types)]
                    struct ScheduleStreamSvc<T: Scheduler>(pub Arc<T>);
                    impl<
                        T: Scheduler,
                    > tonic::server::StreamingService<crate::raw::StreamRequest>
                    for ScheduleStreamSvc<T> {
                        type Response = crate::raw::StreamResponse;
                        type ResponseStream = T::ScheduleStreamStream;
                        type Future = BoxFuture<
                            tonic::Response<Self::ResponseStream>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<
                                tonic::Streaming<crate::raw::StreamRequest>,
                            >,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as Scheduler>::schedule_stream(&inner, request).await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = ScheduleStreamSvc(inner);
                        let codec = crate::codec::WireCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.streaming(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/berth.scheduler.v1.Scheduler/RegisterTemplate" => {
                    #[allow(non_camel_case_types)]
                    struct RegisterTemplateSvc<T: Scheduler>(pub Arc<T>);
                    impl<
                        T: Scheduler,
                    > tonic::server::UnaryService<crate::v1::RegisterTemplateRequest>
                    for RegisterTemplateSvc<T> {
                        type Response = crate::v1::RegisterTemplateResponse;
                        type Future = BoxFuture<
                            tonic::Response<Self::Response>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<crate::v1::RegisterTemplateRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as Scheduler>::register_template(&inner, request).await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = RegisterTemplateSvc(inner);
                        let codec = crate::codec::WireCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/berth.scheduler.v1.Scheduler/DropTemplates" => {
                    #[allow(non_camel_case_types)]
                    struct DropTemplatesSvc<T: Scheduler>(pub Arc<T>);
                    impl<
                        T: Scheduler,
                    > tonic::server::UnaryService<crate::v1::DropTemplatesRequest>
                    for DropTemplatesSvc<T> {
                        type Response = crate::v1::DropTemplatesResponse;
                        type Future = BoxFuture<
                            tonic::Response<Self::Response>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<crate::v1::DropTemplatesRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as Scheduler>::drop_templates(&inner, request).await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = DropTemplatesSvc(inner);
                        let codec = crate::codec::WireCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/berth.scheduler.v1.Scheduler/Release" => {
                    #[allow(non_camel_case_types)]
                    struct ReleaseSvc<T: Scheduler>(pub Arc<T>);
                    impl<
                        T: Scheduler,
                    > tonic::server::UnaryService<crate::v1::ReleaseRequest>
                    for ReleaseSvc<T> {
                        type Response = crate::v1::ReleaseResponse;
                        type Future = BoxFuture<
                            tonic::Response<Self::Response>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<crate::v1::ReleaseRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as Scheduler>::release(&inner, request).await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = ReleaseSvc(inner);
                        let codec = crate::codec::WireCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/berth.scheduler.v1.Scheduler/Confirm" => {
                    #[allow(non_camel_case_types)]
                    struct ConfirmSvc<T: Scheduler>(pub Arc<T>);
                    impl<
                        T: Scheduler,
                    > tonic::server::UnaryService<crate::v1::ConfirmRequest>
                    for ConfirmSvc<T> {
                        type Response = crate::v1::ConfirmResponse;
                        type Future = BoxFuture<
                            tonic::Response<Self::Response>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<crate::v1::ConfirmRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as Scheduler>::confirm(&inner, request).await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = ConfirmSvc(inner);
                        let codec = crate::codec::WireCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/berth.scheduler.v1.Scheduler/Cancel" => {
                    #[allow(non_camel_case_types)]
                    struct CancelSvc<T: Scheduler>(pub Arc<T>);
                    impl<
                        T: Scheduler,
                    > tonic::server::UnaryService<crate::v1::CancelRequest>
                    for CancelSvc<T> {
                        type Response = crate::v1::CancelResponse;
                        type Future = BoxFuture<
                            tonic::Response<Self::Response>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<crate::v1::CancelRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as Scheduler>::cancel(&inner, request).await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = CancelSvc(inner);
                        let codec = crate::codec::WireCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/berth.scheduler.v1.Scheduler/Apply" => {
                    #[allow(non_camel_case_types)]
                    struct ApplySvc<T: Scheduler>(pub Arc<T>);
                    impl<
                        T: Scheduler,
                    > tonic::server::UnaryService<crate::v1::ApplyRequest>
                    for ApplySvc<T> {
                        type Response = crate::v1::ApplyResponse;
                        type Future = BoxFuture<
                            tonic::Response<Self::Response>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<crate::v1::ApplyRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as Scheduler>::apply(&inner, request).await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = ApplySvc(inner);
                        let codec = crate::codec::WireCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/berth.scheduler.v1.Scheduler/SyncNodes" => {
                    #[allow(non_camel_case_types)]
                    struct SyncNodesSvc<T: Scheduler>(pub Arc<T>);
                    impl<
                        T: Scheduler,
                    > tonic::server::ClientStreamingService<crate::v1::SyncNodesRequest>
                    for SyncNodesSvc<T> {
                        type Response = crate::v1::SyncResponse;
                        type Future = BoxFuture<
                            tonic::Response<Self::Response>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<
                                tonic::Streaming<crate::v1::SyncNodesRequest>,
                            >,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as Scheduler>::sync_nodes(&inner, request).await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = SyncNodesSvc(inner);
                        let codec = crate::codec::WireCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.client_streaming(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/berth.scheduler.v1.Scheduler/SyncPods" => {
                    #[allow(non_camel_case_types)]
                    struct SyncPodsSvc<T: Scheduler>(pub Arc<T>);
                    impl<
                        T: Scheduler,
                    > tonic::server::ClientStreamingService<crate::v1::SyncPodsRequest>
                    for SyncPodsSvc<T> {
                        type Response = crate::v1::SyncResponse;
                        type Future = BoxFuture<
                            tonic::Response<Self::Response>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<
                                tonic::Streaming<crate::v1::SyncPodsRequest>,
                            >,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as Scheduler>::sync_pods(&inner, request).await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = SyncPodsSvc(inner);
                        let codec = crate::codec::WireCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.client_streaming(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/berth.scheduler.v1.Scheduler/Explain" => {
                    #[allow(non_camel_case_types)]
                    struct ExplainSvc<T: Scheduler>(pub Arc<T>);
                    impl<
                        T: Scheduler,
                    > tonic::server::UnaryService<crate::v1::ExplainRequest>
                    for ExplainSvc<T> {
                        type Response = crate::v1::ExplainResponse;
                        type Future = BoxFuture<
                            tonic::Response<Self::Response>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<crate::v1::ExplainRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as Scheduler>::explain(&inner, request).await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = ExplainSvc(inner);
                        let codec = crate::codec::WireCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/berth.scheduler.v1.Scheduler/GetNode" => {
                    #[allow(non_camel_case_types)]
                    struct GetNodeSvc<T: Scheduler>(pub Arc<T>);
                    impl<
                        T: Scheduler,
                    > tonic::server::UnaryService<crate::v1::GetNodeRequest>
                    for GetNodeSvc<T> {
                        type Response = crate::v1::GetNodeResponse;
                        type Future = BoxFuture<
                            tonic::Response<Self::Response>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<crate::v1::GetNodeRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as Scheduler>::get_node(&inner, request).await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = GetNodeSvc(inner);
                        let codec = crate::codec::WireCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/berth.scheduler.v1.Scheduler/ListNodes" => {
                    #[allow(non_camel_case_types)]
                    struct ListNodesSvc<T: Scheduler>(pub Arc<T>);
                    impl<
                        T: Scheduler,
                    > tonic::server::UnaryService<crate::v1::ListNodesRequest>
                    for ListNodesSvc<T> {
                        type Response = crate::v1::ListNodesResponse;
                        type Future = BoxFuture<
                            tonic::Response<Self::Response>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<crate::v1::ListNodesRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as Scheduler>::list_nodes(&inner, request).await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = ListNodesSvc(inner);
                        let codec = crate::codec::WireCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/berth.scheduler.v1.Scheduler/GetPod" => {
                    #[allow(non_camel_case_types)]
                    struct GetPodSvc<T: Scheduler>(pub Arc<T>);
                    impl<
                        T: Scheduler,
                    > tonic::server::UnaryService<crate::v1::GetPodRequest>
                    for GetPodSvc<T> {
                        type Response = crate::v1::GetPodResponse;
                        type Future = BoxFuture<
                            tonic::Response<Self::Response>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<crate::v1::GetPodRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as Scheduler>::get_pod(&inner, request).await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = GetPodSvc(inner);
                        let codec = crate::codec::WireCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/berth.scheduler.v1.Scheduler/ListPods" => {
                    #[allow(non_camel_case_types)]
                    struct ListPodsSvc<T: Scheduler>(pub Arc<T>);
                    impl<
                        T: Scheduler,
                    > tonic::server::UnaryService<crate::v1::ListPodsRequest>
                    for ListPodsSvc<T> {
                        type Response = crate::v1::ListPodsResponse;
                        type Future = BoxFuture<
                            tonic::Response<Self::Response>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<crate::v1::ListPodsRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as Scheduler>::list_pods(&inner, request).await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = ListPodsSvc(inner);
                        let codec = crate::codec::WireCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/berth.scheduler.v1.Scheduler/ListClasses" => {
                    #[allow(non_camel_case_types)]
                    struct ListClassesSvc<T: Scheduler>(pub Arc<T>);
                    impl<
                        T: Scheduler,
                    > tonic::server::UnaryService<crate::v1::ListClassesRequest>
                    for ListClassesSvc<T> {
                        type Response = crate::v1::ListClassesResponse;
                        type Future = BoxFuture<
                            tonic::Response<Self::Response>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<crate::v1::ListClassesRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as Scheduler>::list_classes(&inner, request).await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = ListClassesSvc(inner);
                        let codec = crate::codec::WireCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/berth.scheduler.v1.Scheduler/Watch" => {
                    #[allow(non_camel_case_types)]
                    struct WatchSvc<T: Scheduler>(pub Arc<T>);
                    impl<
                        T: Scheduler,
                    > tonic::server::ServerStreamingService<crate::v1::WatchRequest>
                    for WatchSvc<T> {
                        type Response = crate::v1::WatchResponse;
                        type ResponseStream = T::WatchStream;
                        type Future = BoxFuture<
                            tonic::Response<Self::ResponseStream>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<crate::v1::WatchRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as Scheduler>::watch(&inner, request).await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = WatchSvc(inner);
                        let codec = crate::codec::WireCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.server_streaming(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/berth.scheduler.v1.Scheduler/Stats" => {
                    #[allow(non_camel_case_types)]
                    struct StatsSvc<T: Scheduler>(pub Arc<T>);
                    impl<
                        T: Scheduler,
                    > tonic::server::UnaryService<crate::v1::StatsRequest>
                    for StatsSvc<T> {
                        type Response = crate::v1::StatsResponse;
                        type Future = BoxFuture<
                            tonic::Response<Self::Response>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<crate::v1::StatsRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as Scheduler>::stats(&inner, request).await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = StatsSvc(inner);
                        let codec = crate::codec::WireCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                _ => {
                    Box::pin(async move {
                        let mut response = http::Response::new(
                            tonic::body::Body::default(),
                        );
                        let headers = response.headers_mut();
                        headers
                            .insert(
                                tonic::Status::GRPC_STATUS,
                                (tonic::Code::Unimplemented as i32).into(),
                            );
                        headers
                            .insert(
                                http::header::CONTENT_TYPE,
                                tonic::metadata::GRPC_CONTENT_TYPE,
                            );
                        Ok(response)
                    })
                }
            }
        }
    }
    impl<T> Clone for SchedulerServer<T> {
        fn clone(&self) -> Self {
            let inner = self.inner.clone();
            Self {
                inner,
                accept_compression_encodings: self.accept_compression_encodings,
                send_compression_encodings: self.send_compression_encodings,
                max_decoding_message_size: self.max_decoding_message_size,
                max_encoding_message_size: self.max_encoding_message_size,
            }
        }
    }
    /// Generated gRPC service name
    pub const SERVICE_NAME: &str = "berth.scheduler.v1.Scheduler";
    impl<T> tonic::server::NamedService for SchedulerServer<T> {
        const NAME: &'static str = SERVICE_NAME;
    }
}
