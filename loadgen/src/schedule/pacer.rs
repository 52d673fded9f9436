// SPDX-License-Identifier: Apache-2.0
//! Waits for a moment, to some microseconds: an open loop of 10,000 requests a second has no use for a timer of a
//! millisecond, and spinning would take a core from the service.

use std::io;
use std::time::Instant;

#[cfg(target_os = "linux")]
mod timer {
    use super::{Instant, io};
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::net::unix::pipe::Receiver;

    /// A timer of the kernel, in the same wait as the sockets. To the runtime it is a pipe: a descriptor that can be waited for
    /// and read, eight bytes each time it expires.
    #[derive(Debug)]
    pub struct Pacer(Receiver);

    impl Pacer {
        /// A timer. Within a runtime.
        pub fn new() -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            Receiver::from_owned_fd_unchecked(timer).map(Self)
        }

        /// Waits until then; not at all if that is over.
        pub async fn until(&mut self, then: Instant) -> io::Result<()> {
            let left = then.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
            let tv_sec = i64::try_from(left.as_secs()).unwrap_or(i64::MAX);
            let value = Timespec { tv_sec, tv_nsec: i64::from(left.subsec_nanos()) };
            let spec = Itimerspec { it_interval: zero, it_value: value };
            timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &spec)?;
            // A wake that was left over from an earlier wait is found out by the clock.
            while Instant::now() < then {
                self.0.readable().await?;
                match self.0.try_read(&mut [0; 8]) {
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                    _ => {}
                }
            }
            Ok(())
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod timer {
    use super::{Instant, io};

    /// The runtime's timer, of a millisecond.
    #[derive(Debug)]
    pub struct Pacer(());

    impl Pacer {
        /// A timer.
        pub fn new() -> io::Result<Self> {
            Ok(Self(()))
        }

        /// Waits until then; not at all if that is over.
        pub async fn until(&mut self, then: Instant) -> io::Result<()> {
            tokio::time::sleep_until(then.into()).await;
            Ok(())
        }
    }
}

pub use timer::Pacer;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(flavor = "current_thread")]
    async fn waits_are_as_long_as_asked_for() {
        let mut pacer = Pacer::new().unwrap();
        let mut due = Instant::now();
        for _ in 0..20 {
            due += Duration::from_micros(300);
            pacer.until(due).await.unwrap();
            assert!(Instant::now() >= due);
        }
        let began = Instant::now();
        pacer.until(began).await.unwrap();
        // A wait that is given up does not end the next one early.
        let _ = tokio::time::timeout(Duration::ZERO, pacer.until(began + Duration::from_millis(1)))
            .await;
        let due = Instant::now() + Duration::from_millis(20);
        pacer.until(due).await.unwrap();
        assert!(Instant::now() >= due);
    }
}
