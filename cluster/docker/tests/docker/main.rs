// SPDX-License-Identifier: Apache-2.0
//! The driver on a Docker engine of the test's own. One engine for all: the tests run side by side on it, as several agents do.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod containers;
mod execs;
mod foreign;
mod images;
mod lab;
mod logs;
mod restarts;

use lab::Lab;
use std::sync::Arc;

/// Tests at a time.
const SIDE_BY_SIDE: usize = 4;

#[test]
fn pods_run_on_an_engine() {
    if !berth_balancer_testkit::have_docker() {
        return;
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build();
    let runtime = runtime.expect("threads are to be had");
    let lab = Arc::new(Lab::start());
    runtime.block_on(async {
        lab.prepare().await;
        let mut tests = tokio::task::JoinSet::new();
        // So many at a time: two cores start no more containers at once without running into limits of time.
        let turns = Arc::new(tokio::sync::Semaphore::new(SIDE_BY_SIDE));
        macro_rules! side_by_side {
            ($($test:path),* $(,)?) => { $({
                let (lab, turns) = (lab.clone(), turns.clone());
                let only = std::env::var("BERTH_DOCKER_ONLY").unwrap_or_default();
                tests.spawn(async move {
                    if !stringify!($test).contains(&only) {
                        return;
                    }
                    let _turn = turns.acquire().await;
                    let done = tokio::time::timeout(lab::HANG * 5, $test(&lab)).await;
                    done.expect(concat!(stringify!($test), " hangs"));
                    println!("passed: {}", stringify!($test));
                });
            })* };
        }
        side_by_side!(
            containers::a_pod_shares_its_network_and_nothing_of_docker_s_dns,
            containers::a_lost_answer_makes_no_second_container,
            containers::ends_are_told_with_their_codes_and_in_time,
            containers::what_cannot_run_says_why,
            containers::rights_and_bounds_arrive,
            containers::processes_of_a_pod_are_shared_and_orphans_are_taken,
            containers::a_pod_on_the_hosts_network,
            containers::echo_finishes_what_is_under_way,
            execs::streams_go_both_ways,
            execs::a_gigabyte_less_some_arrives_byte_for_byte,
            execs::a_terminal_keeps_every_byte_and_has_a_size,
            execs::a_hundred_hung_execs_leave_nothing,
            execs::an_exec_is_ended_from_within,
            execs::input_is_attached,
            foreign::what_is_not_ours_is_never_touched,
            foreign::networks_are_held_against_what_was_asked,
            images::images_are_pulled_with_credentials_and_removed_when_unused,
            logs::lines_are_told_across_rotation,
            logs::a_terminals_log_and_a_followers_end,
        );
        let mut failed = 0;
        while let Some(done) = tests.join_next().await {
            failed += u32::from(done.is_err());
        }
        assert_eq!(failed, 0, "tests failed; what they said stands above");
    });
    let lab = Arc::into_inner(lab).expect("all tests have ended");
    runtime.block_on(restarts::an_engine_that_restarts_is_followed(lab));
}
