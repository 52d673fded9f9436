// SPDX-License-Identifier: Apache-2.0
//! Which services the fast path can serve: it sees first packets only, and touches no byte of a connection.

use berth_balancer_core::model::{DataPath, ProxyProtocol, Settings};
use berth_balancer_core::table::Frontend;

/// What of a service's settings the kernel cannot do.
#[must_use]
pub fn misfits(settings: &Settings) -> Vec<&'static str> {
    let timeouts = &settings.timeouts;
    let all = [
        (settings.proxy_in != ProxyProtocol::Off, "a PROXY header from clients is not read"),
        (settings.proxy_out != ProxyProtocol::Off, "a PROXY header to endpoints is not sent"),
        (timeouts.first_byte_ns.is_some(), "the first byte's time is not seen"),
        (timeouts.idle_ns.is_some(), "the time without a byte is not seen"),
        (timeouts.age_ns_max.is_some(), "a connection's age is not bounded"),
    ];
    all.into_iter().filter_map(|(does, why)| does.then_some(why)).collect()
}

/// The usual choice: what asks for the fast path, or for any path and has no misfits.
#[must_use]
pub fn fits(frontend: &Frontend) -> bool {
    match frontend.settings.path {
        DataPath::Proxy => false,
        DataPath::Fast => true,
        DataPath::Auto => misfits(&frontend.settings).is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_misfit_is_told() {
        let mut settings = Settings::default();
        assert!(misfits(&settings).is_empty());
        settings.proxy_in = ProxyProtocol::V2;
        settings.proxy_out = ProxyProtocol::V1;
        settings.timeouts.first_byte_ns = Some(1);
        settings.timeouts.idle_ns = Some(1);
        settings.timeouts.age_ns_max = Some(1);
        assert_eq!(misfits(&settings).len(), 5);
    }
}
