// SPDX-License-Identifier: Apache-2.0
//! Every bench body of the balancer on a small table: it does what it is called, and the same each time.

use berth_benches::balancer::{
    ALGORITHMS, Changes, Choices, Clients, Flows, compile, config, headers, parse,
};

/// Sums a few turns of two that began alike.
fn twice<T>(new: impl Fn() -> T, turn: impl Fn(&mut T) -> u64) -> u64 {
    let run = || {
        let mut bench = new();
        (0..500).map(|at| turn(&mut bench) * (at + 1)).sum::<u64>()
    };
    let sum = run();
    assert_eq!(sum, run(), "the same each time");
    sum
}

#[test]
fn choices_are_made_by_every_algorithm() {
    for (name, algorithm) in ALGORITHMS {
        assert_eq!(Choices::new(1, 10, algorithm).held(), 10);
        let picks = twice(|| Choices::new(1, 10, algorithm), Choices::pick);
        let connections = twice(|| Choices::new(50, 4, algorithm), Choices::connection);
        assert!(picks > 0 && connections > 0, "{name}");
        assert!(twice(|| Choices::new(50, 1, algorithm), Choices::lookup) > 0);
    }
}

#[test]
fn a_change_touches_one_frontend_and_one_backend_at_most() {
    let mut changes = Changes::new(50, 4, ALGORITHMS[0].1);
    let mut touched = 0;
    for _ in 0..500 {
        let different = changes.turn();
        assert!(different == 0 || different == 17, "{different}");
        touched += usize::from(different == 17);
    }
    assert!((150..350).contains(&touched), "{touched}");
}

#[test]
fn tables_have_what_is_asked_for() {
    let counts = compile(config(20, 3, ALGORITHMS[0].1)).table().counts();
    assert_eq!((counts.frontends, counts.backends), (20, 60));
}

#[test]
fn flows_and_clients_are_found() {
    let all = (1..=500).sum::<u64>();
    assert_eq!(twice(|| Flows::new(300), Flows::lookup), all);
    assert_eq!(twice(|| Flows::new(300), Flows::insert), all, "the table was full");
    assert!(twice(|| Clients::new(300), Clients::lookup) > 0);
}

#[test]
fn headers_are_read() {
    assert_eq!(headers().map(|header| parse(&header)), [Ok(49), Ok(28)]);
}
