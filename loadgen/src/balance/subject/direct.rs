// SPDX-License-Identifier: Apache-2.0
//! No balancer: what the network, the client and the backends themselves can do.

use super::{Column, Running, Service, Subject};
use crate::balance::backend::Protocol;
use crate::balance::place::Place;
use crate::error::Error;
use std::net::SocketAddr;

/// No balancer.
#[derive(Debug)]
pub struct Direct;

impl Subject for Direct {
    fn column(&self) -> Column {
        Column::Direct
    }

    fn variant(&self) -> String {
        String::new()
    }

    fn lacks(&self, _: Protocol) -> Option<&'static str> {
        None
    }

    fn has_processes(&self) -> bool {
        false
    }

    fn start(&self, _: &Place, _: &[Service]) -> Result<Box<dyn Running>, Error> {
        Ok(Box::new(Nothing))
    }
}

#[derive(Debug)]
struct Nothing;

impl Running for Nothing {
    fn addresses(&self, service: &Service) -> Vec<SocketAddr> {
        service.endpoints.iter().map(|endpoint| endpoint.address).collect()
    }

    fn pids(&self) -> Vec<u32> {
        Vec::new()
    }

    fn stop(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }
}
