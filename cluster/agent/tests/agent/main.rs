// SPDX-License-Identifier: Apache-2.0
//! Agents on a Docker engine of the test's own, before the real apiserver in the process. One engine and one server for all: the tests run
//! side by side on it, in nodes of their own where they stop their agent.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::large_futures,
    reason = "what cannot be done is a failure of the test; futures of tests live once"
)]

mod cuts;
mod ends;
mod lab;
mod life;
mod probes;
mod restarts;
#[path = "../../../store/tests/stores/tier.rs"]
#[allow(dead_code, unreachable_pub, reason = "the store's tests use all of it")]
mod tier;
mod volumes;
mod wire;
mod wrong;

use lab::Lab;
use std::sync::Arc;

/// Tests at a time.
const SIDE_BY_SIDE: usize = 4;

#[test]
fn pods_of_a_node_run() {
    if !berth_balancer_testkit::have_docker() {
        return;
    }
    let bare = lab::Bare::start(&[]);
    within(&bare, |runtime| runtime.block_on(all(&bare)));
}

#[test]
fn pods_outlast_an_engine_that_ends_them() {
    if !berth_balancer_testkit::have_docker() {
        return;
    }
    let bare = lab::Bare::start(&["--live-restore=false"]);
    within(&bare, |runtime| {
        runtime.block_on(async {
            let lab = Lab::start(&bare).await;
            restarts::pods_are_ready_after_a_restart_of_the_engine(&lab, &bare, false).await;
            lab.stop().await;
        });
    });
}

/// Does something where the engine lives.
fn within(bare: &lab::Bare, work: impl FnOnce(&tokio::runtime::Runtime) + Send) {
    bare.inside().run(|| {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build();
        work(&runtime.expect("threads are to be had"));
    });
}

async fn all(bare: &lab::Bare) {
    let lab = Arc::new(Lab::start(bare).await);
    let mut tests = tokio::task::JoinSet::new();
    let turns = Arc::new(tokio::sync::Semaphore::new(SIDE_BY_SIDE));
    macro_rules! side_by_side {
        ($($test:path),* $(,)?) => { $({
            let (lab, turns) = (lab.clone(), turns.clone());
            let only = std::env::var("BERTH_AGENT_ONLY").unwrap_or_default();
            tests.spawn(async move {
                if !stringify!($test).contains(&only) {
                    return;
                }
                let _turn = turns.acquire().await;
                let done = tokio::time::timeout(lab::HANG * 3, $test(&lab)).await;
                done.expect(concat!(stringify!($test), " hangs"));
                println!("passed: {}", stringify!($test));
            });
        })* };
    }
    side_by_side!(
        life::two_containers_talk_over_localhost_and_go_without_a_trace,
        life::a_node_says_what_it_is_and_keeps_its_lease,
        life::init_containers_run_one_after_the_other,
        life::a_pod_on_the_hosts_network_has_the_nodes_address,
        life::what_does_not_fit_is_refused,
        ends::a_command_that_fails_is_started_again_and_waited_with,
        ends::an_image_that_is_not_there_is_named,
        ends::a_command_that_is_not_there_is_named,
        ends::who_ignores_its_end_is_killed_after_its_grace,
        ends::want_of_memory_is_told,
        ends::hooks_run_before_the_end,
        probes::who_does_not_live_is_started_again,
        probes::pages_ports_and_commands_are_asked,
        probes::a_hung_probe_leaves_no_process,
        volumes::a_container_waits_for_its_config_map,
        volumes::volumes_hold_what_they_are_made_of,
        volumes::a_config_map_that_changes_is_seen,
        wrong::a_user_that_is_not_there_is_named,
        wrong::a_folder_of_the_host_that_is_not_there_is_named,
        wrong::want_of_memory_of_a_child_is_told,
        wrong::a_disk_that_is_full_holds_up_what_is_new,
        cuts::a_call_that_is_never_made_is_made_again,
        cuts::an_answer_that_is_lost_changes_nothing,
        cuts::an_engine_that_goes_away_at_any_call_is_waited_for,
        cuts::an_agent_that_is_killed_at_any_call_leaves_nothing,
        restarts::an_agent_that_begins_anew_takes_over,
        restarts::what_was_half_made_is_completed,
        restarts::what_comes_after_its_pods_end_is_removed,
        restarts::who_goes_leaves_its_place_free,
        restarts::an_api_that_is_away_holds_nothing_up,
        restarts::all_goes_with_the_node_where_that_is_wanted,
    );
    let mut failed = 0;
    while let Some(done) = tests.join_next().await {
        failed += u32::from(done.is_err());
    }
    assert_eq!(failed, 0, "tests failed; what they said stands above");
    // The last one has the engine for itself.
    Box::pin(restarts::pods_are_ready_after_a_restart_of_the_engine(&lab, bare, true)).await;
    Arc::into_inner(lab).expect("all tests have ended").stop().await;
}
