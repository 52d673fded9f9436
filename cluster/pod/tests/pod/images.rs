// SPDX-License-Identifier: Apache-2.0
//! Images: found, pulled, and what is said if not.

use crate::world::{World, refused};
use serde_json::json;

fn world(image: &str, policy: &str) -> World {
    World::new(json!({"containers": [{"name": "a", "image": image, "imagePullPolicy": policy}]}))
}

#[test]
fn one_that_is_pulled_says_how_long_it_took() {
    let mut world = world("i:1", "Always").delay("pull", 1_234);
    world.run_until(5_000);
    assert_eq!(
        world.events(&["Pulling", "Pulled", "Created", "Started"]),
        [
            "0 Pulling Pulling image \"i:1\"",
            "1.234 Pulled Successfully pulled image \"i:1\" in 1.234s (1.234s including waiting). Image size: 7 bytes.",
            "1.234 Created Created container: a",
            "1.234 Started Started container a",
        ]
    );
    assert_eq!(world.shown("/containerStatuses/0/imageID"), "sha256:i:1");
}

#[test]
fn one_that_is_there_is_not_pulled() {
    for policy in ["IfNotPresent", "Never"] {
        let mut world = world("i:1", policy);
        world.run_until(5_000);
        assert_eq!(
            world.events(&["Pulled"]),
            ["0 Pulled Container image \"i:1\" already present on machine"]
        );
        assert!(world.lines(&["pull"]).is_empty());
    }
}

#[test]
fn one_that_cannot_be_pulled_is_tried_less_and_less_often() {
    let mut world = world("i:1", "IfNotPresent");
    world.images.clear();
    for _ in 0..7 {
        world = world.fault("pull", refused("manifest unknown"));
    }
    world.run_until(500);
    assert_eq!(world.shown("/containerStatuses/0/state/waiting/reason"), "ErrImagePull");
    assert_eq!(world.shown("/containerStatuses/0/state/waiting/message"), "manifest unknown");
    world.run_until(5_000);
    assert_eq!(world.shown("/containerStatuses/0/state/waiting/reason"), "ImagePullBackOff");
    assert_eq!(
        world.shown("/containerStatuses/0/state/waiting/message"),
        "Back-off pulling image \"i:1\": ErrImagePull: manifest unknown"
    );
    assert_eq!(
        world.events(&["Pulling", "Failed", "BackOff"]),
        [
            "0 Pulling Pulling image \"i:1\"",
            "0 Failed Failed to pull image \"i:1\": manifest unknown",
            "0 Failed Error: ErrImagePull",
            "1 BackOff Back-off pulling image \"i:1\"",
            "1 Failed Error: ImagePullBackOff",
        ]
    );
    world.run_until(2_000_000);
    assert_eq!(
        world.lines(&["pull"]),
        [
            "0 pull i:1",
            "10 pull i:1",
            "30 pull i:1",
            "70 pull i:1",
            "150 pull i:1",
            "310 pull i:1",
            "610 pull i:1",
            "910 pull i:1"
        ]
    );
    assert_eq!(world.shown("/phase"), "Running");
}

#[test]
fn what_is_never_pulled_must_be_there() {
    let mut world = world("i:1", "Never");
    world.images.clear();
    world.run_until(5_000);
    let message = "Container image \"i:1\" is not present with pull policy of Never";
    assert_eq!(world.shown("/containerStatuses/0/state/waiting/reason"), "ErrImageNeverPull");
    assert_eq!(world.shown("/containerStatuses/0/state/waiting/message"), message);
    assert_eq!(
        world.events(&["ErrImageNeverPull", "Failed"]),
        [format!("0 ErrImageNeverPull {message}"), "0 Failed Error: ErrImageNeverPull".to_owned()]
    );
    world.images.insert("i:1".to_owned());
    world.run_until(12_000);
    assert_eq!(world.shown("/phase"), "Running");
}

#[test]
fn a_name_that_is_none_is_not_asked_for() {
    let mut world = world("No:such:name", "Always");
    world.run_until(5_000);
    let message = "Failed to apply default image tag \"No:such:name\": couldn't parse image reference \"No:such:name\": invalid reference format";
    assert_eq!(world.shown("/containerStatuses/0/state/waiting/reason"), "InvalidImageName");
    assert_eq!(world.shown("/containerStatuses/0/state/waiting/message"), message);
    assert_eq!(world.events(&["InspectFailed"]), [format!("0 InspectFailed {message}")]);
    assert!(world.lines(&["find", "pull"]).is_empty());
}

#[test]
fn an_engine_that_cannot_look_says_why() {
    let mut world = world("i:1", "IfNotPresent").fault("find", refused("disk"));
    world.run_until(5_000);
    assert_eq!(world.shown("/containerStatuses/0/state/waiting/reason"), "ImageInspectError");
    assert_eq!(
        world.events(&["InspectFailed"]),
        ["0 InspectFailed Failed to inspect image \"i:1\": disk"]
    );
    world.run_until(11_000);
    assert_eq!(world.shown("/phase"), "Running");
}

#[test]
fn another_image_is_not_held_up_by_what_the_old_one_failed_of() {
    let mut world = world("i:1", "IfNotPresent");
    world.images.clear();
    for _ in 0..4 {
        world = world.fault("pull", refused("manifest unknown"));
    }
    world.run_until(80_000);
    world.pod["spec"]["containers"][0]["image"] = json!("i:2");
    let spec = world.spec();
    world.tell(berth_cluster_pod::Event::Pod(Box::new(spec)));
    world.run_until(81_000);
    assert_eq!(world.lines(&["start"]), ["80 start a-0"]);
}
