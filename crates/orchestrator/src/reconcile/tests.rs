//! Plans as text, and what must hold for every plan. A plan is played on plain data here: [`World`] does what the engine
//! would do and refuses what it would refuse.

use std::collections::{BTreeMap, BTreeSet};

use engine::config::{ContainerConfig, MountSource};
use engine::list::Status;
use proptest::prelude::*;

use super::*;
use crate::container::label;
use crate::environment::Environment;
use crate::load::{Request, load};
use crate::model::Condition;
use crate::observe::Resource;

fn project(text: &str) -> Project {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("compose.yaml");
    std::fs::write(&file, text).expect("written");
    let request = Request {
        files: vec![file],
        directory: directory.path().to_owned(),
        here: directory.path().to_owned(),
        name: Some("p".into()),
        environment: Environment::default(),
        ..Request::default()
    };
    load(&request).unwrap_or_else(|failure| panic!("{failure}\n{text}"))
}

/// The engine, as far as plans are concerned.
#[derive(Clone, Debug, Default)]
struct World {
    observed: Observed,
    made: u32,
}

impl World {
    /// Plays a plan in any order that `after` allows; panics on what the engine would refuse.
    fn play(&mut self, project: &Project, plan: &Plan) {
        let mut done: BTreeSet<usize> = BTreeSet::new();
        while done.len() < plan.steps.len() {
            // The last possible step first: an order that `after` does not demand must not be needed.
            let next = (0..plan.steps.len()).rev().find(|n| {
                !done.contains(n)
                    && plan.steps[*n]
                        .after
                        .iter()
                        .all(|before| done.contains(before))
            });
            let next = next.unwrap_or_else(|| {
                panic!("steps wait for each other in a circle:\n{}", steps(plan))
            });
            self.step(project, &plan.steps[next].action);
            done.insert(next);
        }
    }

    fn find(&mut self, name: &str) -> &mut Container {
        let found = self
            .observed
            .containers
            .iter_mut()
            .find(|container| container.name == name);
        found.unwrap_or_else(|| panic!("there is no container {name}"))
    }

    fn step(&mut self, project: &Project, action: &Action) {
        match action {
            Action::Pull { image, .. } => drop(
                self.observed
                    .images
                    .insert(image.clone(), "sha256:1".into()),
            ),
            Action::CreateNetwork(definition) => {
                let resource = resource(&definition.labels);
                assert!(
                    self.observed
                        .networks
                        .insert(definition.name.clone(), resource)
                        .is_none(),
                    "made twice"
                );
            }
            Action::RemoveNetwork(name) => {
                let on_it = self
                    .observed
                    .containers
                    .iter()
                    .find(|container| container.networks.contains(name));
                assert_eq!(
                    on_it.map(|container| &container.name),
                    None,
                    "{name} is in use"
                );
                self.observed.networks.remove(name);
            }
            Action::CreateVolume(wish) => {
                let name = wish.name.clone().unwrap_or_default();
                assert!(
                    self.observed
                        .volumes
                        .insert(name, resource(&wish.labels))
                        .is_none(),
                    "made twice"
                );
            }
            Action::Create(wish) => self.create(wish),
            Action::Start(name) => {
                let service = self.find(name).service.clone();
                for (other, dependency) in &project.services[&service].depends_on {
                    if dependency.condition == Condition::ServiceHealthy {
                        // One too many, about to be removed, may be down already.
                        let up = self.observed.containers.iter();
                        let up = up.filter(|c| c.service == *other && c.is_up()).count();
                        assert!(up >= project.services[other].replicas() as usize);
                    }
                }
                self.find(name).status = Status::Running;
            }
            Action::Stop { name, .. } => self.find(name).status = Status::Exited,
            Action::Remove { name, .. } => {
                assert!(!self.find(name).is_up(), "{name} runs");
                self.observed
                    .containers
                    .retain(|container| container.name != *name);
            }
            Action::Rename { from, to } => {
                assert!(
                    self.observed
                        .containers
                        .iter()
                        .all(|container| container.name != *to),
                    "{to} is taken"
                );
                self.find(from).name = to.clone();
            }
            Action::Wait { name, .. } => assert!(
                self.find(name).is_up(),
                "{name} does not run and is waited for"
            ),
            Action::Exec { name, .. } => assert!(self.find(name).is_up()),
            Action::Restart { name, .. } => {
                panic!("{name} is stopped and started by steps of their own")
            }
            Action::RemoveVolume(_) | Action::RemoveImage(_) | Action::Push(_) => {}
        }
    }

    fn create(&mut self, wish: &ContainerConfig) {
        let name = wish.name.clone().unwrap_or_default();
        assert!(
            self.observed
                .containers
                .iter()
                .all(|container| container.name != name),
            "{name} is taken"
        );
        assert!(
            self.observed.images.contains_key(&wish.image.reference),
            "no image {}",
            wish.image.reference
        );
        for network in &wish.networks {
            assert!(
                self.observed.networks.contains_key(&network.network),
                "no network {}",
                network.network
            );
        }
        for mount in &wish.mounts {
            if let MountSource::Volume {
                name: Some(volume), ..
            } = &mount.source
            {
                assert!(
                    self.observed.volumes.contains_key(volume),
                    "no volume {volume}"
                );
            }
        }
        self.made += 1;
        let label = |name: &str| wish.labels.get(name).cloned().unwrap_or_default();
        let depends_on = label(label::DEPENDS_ON);
        self.observed.containers.push(Container {
            id: format!("{:012x}{:052x}", self.made, 0),
            name,
            service: label(label::SERVICE),
            number: label(label::NUMBER).parse().unwrap_or(0),
            one_off: false,
            status: Status::Created,
            health: None,
            exit_code: None,
            config: serde_json::from_str(&label(label::CONFIG)).ok(),
            image_id: "sha256:1".into(),
            networks: wish
                .networks
                .iter()
                .map(|network| network.network.clone())
                .collect(),
            anonymous: Vec::new(),
            depends_on: crate::observe::depends_on(&depends_on),
        });
    }
}

fn resource(labels: &BTreeMap<String, String>) -> Resource {
    Resource {
        project: labels.get(label::PROJECT).cloned(),
        config: labels
            .get(label::CONFIG)
            .and_then(|text| serde_json::from_str(text).ok()),
    }
}

/// One line a step: its number, what it does, what comes before.
fn steps(plan: &Plan) -> String {
    let line = |(n, step): (usize, &crate::plan::Step)| {
        let after: Vec<String> = step.after.iter().map(usize::to_string).collect();
        let after = if after.is_empty() {
            String::new()
        } else {
            format!(" <- {}", after.join(","))
        };
        format!(
            "{n} {} {}{after}\n",
            step.action.word(),
            step.action.object()
        )
    };
    plan.steps.iter().enumerate().map(line).collect()
}

fn plan(project: &Project, world: &World, options: &Options) -> Plan {
    reconcile(project, &world.observed, options).unwrap_or_else(|error| panic!("{error}"))
}

/// A world in which the project is up.
fn up(text: &str) -> World {
    let mut world = World::default();
    let project = project(text);
    let first = plan(&project, &world, &Options::default());
    world.play(&project, &first);
    world
}

const SHOP: &str = "
services:
  web:
    image: web
    scale: 2
    environment: {A: 1}
    depends_on: {db: {condition: service_healthy}}
    ports: ['80:80']
  db:
    image: db
    volumes: ['data:/data']
    healthcheck: {test: 'true'}
volumes: {data: }
";

#[test]
fn first_up_makes_everything_in_order() {
    let plan = plan(&project(SHOP), &World::default(), &Options::default());
    insta::assert_snapshot!(steps(&plan), @r##"
    0 pull db
    1 pull web
    2 create-network p_default <- 0,1
    3 create-volume p_data <- 0,1
    4 create p-db-1 <- 0,2,3
    5 start p-db-1 <- 4
    6 create p-web-1 <- 1,2
    7 wait p-db-1 <- 5
    8 start p-web-1 <- 6,7
    9 create p-web-2 <- 1,2
    10 start p-web-2 <- 7,9
    "##);
}

#[test]
fn nothing_changed_means_nothing_to_do() {
    let plan = plan(&project(SHOP), &up(SHOP), &Options::default());
    assert!(!plan.changes() && plan.steps.is_empty(), "{}", plan.text());
}

#[test]
fn a_changed_variable_is_told_with_its_place() {
    let changed = SHOP.replace("A: 1", "A: 2, B: x");
    let plan = plan(&project(&changed), &up(SHOP), &Options::default());
    insta::assert_snapshot!(plan.text(), @r##"
    = network p_default
    = volume p_data
    = container p-db-1
    ~ container p-web-1  (2 changes)
        environment.A "1" -> "2"  compose.yaml:6:22
        environment.B (none) -> "x"  compose.yaml:6:28
    ~ container p-web-2  (2 changes)
        environment.A "1" -> "2"  compose.yaml:6:22
        environment.B (none) -> "x"  compose.yaml:6:28
    "##);
    insta::assert_snapshot!(steps(&plan), @r##"
    0 create 000000000002_p-web-1
    1 stop p-web-1 <- 0
    2 remove p-web-1 <- 0,1
    3 rename p-web-1 <- 2
    4 wait p-db-1
    5 start p-web-1 <- 3,4
    6 create 000000000001_p-web-2
    7 stop p-web-2 <- 6
    8 remove p-web-2 <- 6,7
    9 rename p-web-2 <- 8
    10 start p-web-2 <- 4,9
    "##);
}

#[test]
fn how_it_is_brought_up_is_no_change() {
    let other = SHOP
        .replace("scale: 2", "deploy: {replicas: 2}")
        .replace("condition: service_healthy", "condition: service_started");
    let plan = plan(&project(&other), &up(SHOP), &Options::default());
    assert!(!plan.changes(), "{}", plan.text());
}

#[test]
fn fewer_and_more_containers() {
    let project = project(SHOP);
    let world = up(SHOP);
    let scaled = |number| Options {
        scale: BTreeMap::from([("web".to_owned(), number)]),
        ..Options::default()
    };
    insta::assert_snapshot!(plan(&project, &world, &scaled(1)).text(), @r##"
    = network p_default
    = volume p_data
    = container p-db-1
    - container p-web-2  (fewer are asked for)
    = container p-web-1
    "##);
    insta::assert_snapshot!(plan(&project, &world, &scaled(3)).text(), @r##"
    = network p_default
    = volume p_data
    = container p-db-1
    = container p-web-1
    = container p-web-2
    + container p-web-3  (does not exist)
    "##);
}

#[test]
fn a_changed_network_is_rebuilt_once_it_is_empty() {
    let before = "services: {a: {image: a, networks: [n]}, b: {image: b, networks: [n]}}\nnetworks: {n: {internal: false}}\n";
    let after = before.replace("false", "true");
    let mut world = up(before);
    let project = project(&after);
    let plan = plan(&project, &world, &Options::default());
    insta::assert_snapshot!(plan.text(), @r##"
    ~ network p_n  (1 change)
        internal (none) -> true  compose.yaml:2:26
    ~ container p-a-1  (follows the network n)
    ~ container p-b-1  (follows the network n)
    "##);
    world.play(&project, &plan);
}

#[test]
fn an_image_that_moved_recreates() {
    let mut world = up(SHOP);
    world.observed.images.insert("db".into(), "sha256:2".into());
    let plan = plan(&project(SHOP), &world, &Options::default());
    insta::assert_snapshot!(plan.text(), @r##"
    = network p_default
    = volume p_data
    ~ container p-db-1  (image moved from 1 to 2)
    = container p-web-1
    = container p-web-2
    "##);
}

#[test]
fn an_interrupted_recreation_is_finished_or_swept_up() {
    let project = project(SHOP);
    let mut world = up(SHOP);
    let mut left = world.find("p-db-1").clone();
    left.name = "0123456789ab_p-db-1".into();
    left.id = "f".repeat(64);
    left.status = Status::Created;
    world.observed.containers.push(left.clone());
    let both = plan(&project, &world, &Options::default());
    insta::assert_snapshot!(steps(&both), @"0 remove 0123456789ab_p-db-1");
    world
        .observed
        .containers
        .retain(|container| container.name != "p-db-1");
    let only = plan(&project, &world, &Options::default());
    insta::assert_snapshot!(steps(&only), @r##"
    0 rename p-db-1
    1 start p-db-1 <- 0
    "##);
    world.play(&project, &only);
}

#[test]
fn orphans_are_named_and_removed_only_if_asked() {
    let world = up(SHOP);
    let smaller = project(
        "services: {db: {image: db, volumes: ['data:/data'], healthcheck: {test: 'true'}}}\nvolumes: {data: }\n",
    );
    let kept = plan(&smaller, &world, &Options::default());
    assert_eq!(kept.warnings.len(), 2, "{:?}", kept.warnings);
    let removed = plan(
        &smaller,
        &world,
        &Options {
            remove_orphans: true,
            ..Options::default()
        },
    );
    insta::assert_snapshot!(removed.text(), @r##"
    - container p-web-2  (no service of this name)
    - container p-web-1  (no service of this name)
    = network p_default
    = volume p_data
    = container p-db-1
    "##);
}

#[test]
fn what_cannot_be_had_is_an_error() {
    let world = World::default();
    let error = |text: &str| {
        reconcile(&project(text), &world.observed, &Options::default())
            .expect_err("refused")
            .to_string()
    };
    insta::assert_snapshot!(error("services: {a: {build: .}}").split(" from ").next().unwrap_or_default(), @"services.a is built");
    insta::assert_snapshot!(error("services: {a: {image: a, pull_policy: never}}"), @"services.a: the image a is not in the store, and its pull policy is never");
    insta::assert_snapshot!(error("services: {a: {image: a, networks: [n]}}\nnetworks: {n: {external: true}}"), @"the network n is external and does not exist");
}

/// A project of some services, each with a few facts.
#[derive(Clone, Debug)]
struct Random {
    services: Vec<Facts>,
}

#[derive(Clone, Debug)]
struct Facts {
    depends_on: BTreeSet<usize>,
    healthy: bool,
    restart: bool,
    network: Option<bool>,
    shares: Option<usize>,
    volume: bool,
    replicas: u32,
    variable: u8,
}

fn facts() -> impl Strategy<Value = Facts> {
    (
        prop::collection::btree_set(0..5usize, 0..3),
        any::<bool>(),
        any::<bool>(),
        any::<Option<bool>>(),
        prop::option::weighted(0.2, 0..5usize),
        any::<bool>(),
        1..3u32,
        0..2u8,
    )
        .prop_map(
            |(depends_on, healthy, restart, network, shares, volume, replicas, variable)| Facts {
                depends_on,
                healthy,
                restart,
                network,
                shares,
                volume,
                replicas,
                variable,
            },
        )
}

fn random() -> impl Strategy<Value = Random> {
    prop::collection::vec(facts(), 1..5).prop_map(|services| Random { services })
}

impl Random {
    fn text(&self) -> String {
        let mut text = "services:\n".to_owned();
        for (n, facts) in self.services.iter().enumerate() {
            text += &format!(
                "  s{n}:\n    image: i{n}\n    scale: {}\n    environment: {{A: {}}}\n",
                facts.replicas, facts.variable
            );
            text += "    healthcheck: {test: 'true'}\n";
            if facts.volume {
                text += "    volumes: ['v:/v']\n";
            }
            // Only on earlier services: no circles.
            match (facts.shares.filter(|other| *other < n), facts.network) {
                (Some(other), _) => text += &format!("    network_mode: service:s{other}\n"),
                (None, Some(true)) => text += "    networks: [n]\n",
                (None, Some(false)) => text += "    networks: [n, default]\n",
                (None, None) => {}
            }
            let condition = if facts.healthy {
                "service_healthy"
            } else {
                "service_started"
            };
            let depends_on: Vec<_> = facts
                .depends_on
                .iter()
                .filter(|other| **other < n)
                .collect();
            if !depends_on.is_empty() {
                text += "    depends_on:\n";
            }
            for other in depends_on {
                text += &format!(
                    "      s{other}: {{condition: {condition}, restart: {}}}\n",
                    facts.restart
                );
            }
        }
        text + "networks: {n: {}}\nvolumes: {v: }\n"
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever stands there: after `up` of a project, `up` has nothing to do, and each service has its containers.
    #[test]
    fn up_reaches_what_is_wanted_from_anywhere(before in random(), after in random(), force in any::<bool>()) {
        let mut world = up(&before.text());
        let project = project(&after.text());
        let options = Options { remove_orphans: true, force_recreate: force, ..Options::default() };
        let plan = plan(&project, &world, &options);
        world.play(&project, &plan);
        for (name, service) in &project.services {
            let running = world.observed.containers.iter().filter(|c| c.service == *name && c.is_up()).count();
            prop_assert_eq!(running, service.replicas() as usize);
        }
        let known = |c: &Container| project.services.contains_key(&c.service);
        prop_assert!(world.observed.containers.iter().all(known));
        let again = super::reconcile(&project, &world.observed, &Options::default()).unwrap();
        prop_assert!(again.steps.is_empty() && !again.changes(), "{}", again.text());
    }

    /// An interruption at any step leaves something from which the next `up` gets through.
    #[test]
    fn an_interrupted_up_is_continued(before in random(), after in random(), at in 0..40usize) {
        let mut world = up(&before.text());
        let project = project(&after.text());
        let options = Options { remove_orphans: true, ..Options::default() };
        let first = plan(&project, &world, &options);
        let mut done: BTreeSet<usize> = BTreeSet::new();
        for _ in 0..at {
            let ready = |n: &usize| !done.contains(n) && first.steps[*n].after.iter().all(|before| done.contains(before));
            let Some(next) = (0..first.steps.len()).find(ready) else { break };
            world.step(&project, &first.steps[next].action);
            done.insert(next);
        }
        let second = plan(&project, &world, &options);
        world.play(&project, &second);
        let again = plan(&project, &world, &Options::default());
        prop_assert!(again.steps.is_empty() && !again.changes(), "{}", again.text());
    }
}
