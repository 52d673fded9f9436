// SPDX-License-Identifier: Apache-2.0
//! Which vector instructions the machine has. A pure crate cannot look; the shell does, and says so here.

/// Proof that some vector instructions may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Vector(Level);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Level {
    #[default]
    Baseline,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Vector {
    /// Only what every machine of the target has. The answers are the same, bit for bit.
    pub const BASELINE: Self = Self(Level::Baseline);

    /// AVX2.
    ///
    /// # Safety
    ///
    /// The machine must have AVX2, BMI1 and BMI2.
    #[cfg(target_arch = "x86_64")]
    #[expect(unsafe_code, reason = "the caller vouches for the machine")]
    pub const unsafe fn avx2() -> Self {
        Self(Level::Avx2)
    }

    /// AVX-512.
    ///
    /// # Safety
    ///
    /// The machine must have AVX2, BMI1, BMI2 and AVX-512 F, BW, DQ and VL.
    #[cfg(target_arch = "x86_64")]
    #[expect(unsafe_code, reason = "the caller vouches for the machine")]
    pub const unsafe fn avx512() -> Self {
        Self(Level::Avx512)
    }

    pub(crate) fn level(self) -> Level {
        self.0
    }
}

/// Defines `$name`, which runs the always-inlined `$body` compiled for the best instructions that `Vector` vouches for.
macro_rules! dispatch {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? = $body:path;) => {
        $(#[$meta])*
        #[expect(unsafe_code, reason = "code compiled for features that `Vector` vouches for")]
        $vis fn $name(vector: $crate::vector::Vector, $($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,bmi1,bmi2")]
            fn avx2($($arg: $ty),*) $(-> $ret)? { $body($($arg),*) }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,bmi1,bmi2,avx512f,avx512bw,avx512dq,avx512vl")]
            fn avx512($($arg: $ty),*) $(-> $ret)? { $body($($arg),*) }
            match vector.level() {
                $crate::vector::Level::Baseline => $body($($arg),*),
                #[cfg(target_arch = "x86_64")]
                // SAFETY: whoever made the `Vector` vouched for these features.
                $crate::vector::Level::Avx2 => unsafe { avx2($($arg),*) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: whoever made the `Vector` vouched for these features.
                $crate::vector::Level::Avx512 => unsafe { avx512($($arg),*) },
            }
        }
    };
}
pub(crate) use dispatch;
