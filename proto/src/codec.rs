// SPDX-License-Identifier: Apache-2.0
//! How messages of the hot service get on and off the wire: prost's own messages as ever, those of [`crate::raw`] untouched.
//!
//! Unlike tonic's codec, bytes that are no message are the caller's fault here (INVALID_ARGUMENT), not the server's.

use crate::raw;
use bytes::{Buf, BufMut};
use prost::Message;
use std::marker::PhantomData;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// Encoding buffers grow in this step, and are handed to the connection when they are this full: the size of a message of 256
/// pods with a spec, so that one write carries one.
const BUFFER: usize = 32 * 1024;

/// A message that can be read from and written to the wire.
pub trait Wire: Sized {
    /// Takes the whole buffer as one message.
    fn from_wire(buffer: &mut DecodeBuf<'_>) -> Result<Self, Status>;
    /// Appends the message.
    fn to_wire(&self, buffer: &mut EncodeBuf<'_>);
}

impl<M: Message + Default> Wire for M {
    fn from_wire(buffer: &mut DecodeBuf<'_>) -> Result<Self, Status> {
        M::decode(buffer).map_err(|error| Status::invalid_argument(error.to_string()))
    }

    fn to_wire(&self, buffer: &mut EncodeBuf<'_>) {
        buffer.reserve(self.encoded_len());
        self.encode_raw(buffer);
    }
}

macro_rules! untouched {
    ($($message:ident),*) => {$(
        impl Wire for raw::$message {
            fn from_wire(buffer: &mut DecodeBuf<'_>) -> Result<Self, Status> {
                Ok(Self(buffer.copy_to_bytes(buffer.remaining())))
            }

            fn to_wire(&self, buffer: &mut EncodeBuf<'_>) {
                buffer.reserve(self.0.len());
                buffer.put_slice(&self.0);
            }
        }
    )*};
}
untouched!(ScheduleRequest, ScheduleResponse, StreamRequest, StreamResponse);

/// The codec of the hot service.
#[derive(Debug, Clone, Copy)]
pub struct WireCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for WireCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Wire + Send + 'static, U: Wire + Send + 'static> Codec for WireCodec<T, U> {
    type Encode = T;
    type Decode = U;
    type Encoder = WireEncoder<T>;
    type Decoder = WireDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        WireEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        WireDecoder(PhantomData)
    }
}

/// Writes messages.
#[derive(Debug, Clone, Copy)]
pub struct WireEncoder<T>(PhantomData<T>);

impl<T: Wire> Encoder for WireEncoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, item: T, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.to_wire(buffer);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER, BUFFER)
    }
}

/// Reads messages.
#[derive(Debug, Clone, Copy)]
pub struct WireDecoder<U>(PhantomData<U>);

impl<U: Wire> Decoder for WireDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        U::from_wire(buffer).map(Some)
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER, BUFFER)
    }
}
