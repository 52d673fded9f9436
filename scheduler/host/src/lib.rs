// SPDX-License-Identifier: Apache-2.0
//! What the pure engine needs to be told of the machine it runs on.

mod crew;

use berth_scheduler_core::Vector;
pub use crew::threads;

/// The best vector instructions of this machine that the engine knows to use.
#[cfg(target_arch = "x86_64")]
#[must_use]
#[expect(unsafe_code, reason = "vouches for what was just detected")]
pub fn vector() -> Vector {
    let avx2 = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2");
    let avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl");
    if avx2 && avx512 {
        // SAFETY: detected right above.
        unsafe { Vector::avx512() }
    } else if avx2 {
        // SAFETY: detected right above.
        unsafe { Vector::avx2() }
    } else {
        Vector::BASELINE
    }
}

/// The best vector instructions of this machine that the engine knows to use.
#[cfg(not(target_arch = "x86_64"))]
#[must_use]
pub fn vector() -> Vector {
    Vector::BASELINE
}
