// SPDX-License-Identifier: Apache-2.0
//! The agent's server before containers of a Docker engine of the test's own, and before an API that the tests play.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::large_futures,
    reason = "what cannot be done is a failure of the test; futures of tests live once"
)]

mod client;
mod forwards;
mod gate;
mod lab;
mod logs;
mod play;
mod sessions;

use lab::Lab;
use std::sync::Arc;

#[test]
fn what_a_kubelet_answers_is_answered() {
    if !berth_balancer_testkit::have_docker() {
        return;
    }
    let lab = Lab::start();
    // In the engine's network namespace, where pods are reached; and so are the runtime's threads.
    lab.docker.node.run(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(4).enable_all().build().unwrap();
        runtime.block_on(all(&lab));
    });
}

async fn all(lab: &Lab) {
    lab.prepare().await;
    let only = std::env::var("BERTH_DOCKER_ONLY").unwrap_or_default();
    let mut tests = tokio::task::JoinSet::new();
    macro_rules! side_by_side {
        ($($test:path),* $(,)?) => { $({
            let world = Arc::new(lab.world(stringify!($test)).await);
            let only = only.clone();
            tests.spawn(async move {
                if stringify!($test).contains(&only) {
                    let done = tokio::time::timeout(lab::HANG * 4, $test(&world)).await;
                    done.expect(concat!(stringify!($test), " hangs"));
                    println!("passed: {}", stringify!($test));
                }
                if let Some(world) = Arc::into_inner(world) {
                    world.end().await;
                }
            });
        })* };
    }
    side_by_side!(
        logs::each_option_of_a_log_does_what_it_says,
        logs::a_followed_log_goes_on_until_the_end,
        logs::what_has_no_log_says_why,
        sessions::commands_end_with_their_codes,
        sessions::standard_input_has_an_end,
        sessions::a_terminal_follows_the_clients_size,
        sessions::a_command_whose_client_is_gone_is_ended,
        sessions::a_hundred_sessions_at_once,
        sessions::a_container_is_attached_to,
        sessions::a_server_that_stops_ends_its_commands,
        forwards::ports_of_pods_are_reached,
        forwards::who_listens_on_the_pods_loopback_alone_is_reached,
        gate::the_api_says_who_may_do_what,
        gate::tokens_are_those_of_the_api,
        gate::nobody_is_let_in_unnamed,
        gate::hostile_paths_and_queries_are_refused,
        gate::a_certificate_is_swapped_under_way,
    );
    let mut failed = 0;
    while let Some(done) = tests.join_next().await {
        failed += u32::from(done.is_err());
    }
    assert_eq!(failed, 0, "tests failed; what they said stands above");
}
