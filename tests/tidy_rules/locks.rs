//! Locked dependencies against the floors by advisory.

use crate::read;

#[test]
fn no_locked_crate_is_below_its_advisory_floor() {
    let floors = advisory_floors(&read("deny.toml"));
    assert!(!floors.is_empty(), "deny.toml lists no floors");
    for lock in ["Cargo.lock", "fuzz/Cargo.lock"] {
        let found = below_floor(&floors, &read(lock));
        assert!(found.is_empty(), "{lock}:\n{}", found.join("\n"));
    }
}

#[test]
fn a_crate_below_its_floor_is_caught() {
    let floors = advisory_floors(
        "deny = [\n    { crate = \"rkyv:<0.8.18\", reason = \"x\" },\n    { crate = \"h2\" },\n]",
    );
    assert_eq!(floors, [("rkyv".to_owned(), [0, 8, 18])]);
    let lock =
        |version: &str| format!("version = 4\n[[package]]\nname = \"rkyv\"\nversion = \"{version}\"\n");
    for version in ["0.8.17", "0.7.99", "0.8.2", "0.8.18-rc.1"] {
        assert_eq!(below_floor(&floors, &lock(version)).len(), 1, "{version}");
    }
    for version in ["0.8.18", "0.8.100", "0.9.0", "1.0.0+meta"] {
        assert_eq!(below_floor(&floors, &lock(version)), [""; 0], "{version}");
    }
    let both = lock("0.8.18") + &lock("0.7.1");
    assert_eq!(below_floor(&floors, &both), ["rkyv 0.7.1 is below its floor"]);
}

/// The least version of each crate in deny.toml's list of bans: `{ crate = "name:<1.2.3", ... }`. The list
/// stands there for cargo-deny; it is read here because a machine may not have that tool.
fn advisory_floors(deny: &str) -> Vec<(String, [u64; 3])> {
    let specs = deny.lines().filter_map(|line| line.trim().strip_prefix("{ crate = \"")?.split('"').next());
    specs
        .filter_map(|spec| spec.split_once(":<"))
        .map(|(name, version)| (name.to_owned(), triple(version)))
        .collect()
}

/// Every version of a crate in `lock` that is below its floor. A pre-release of the floor is below it.
fn below_floor(floors: &[(String, [u64; 3])], lock: &str) -> Vec<String> {
    let value = |line: &str, key: &str| Some(line.strip_prefix(key)?.strip_suffix('"')?.to_owned());
    let (mut name, mut found) = (String::new(), Vec::new());
    for line in lock.lines() {
        if let Some(next) = value(line, "name = \"") {
            name = next;
        } else if let Some(version) = value(line, "version = \"") {
            let below = |least: [u64; 3]| {
                triple(&version) < least || (triple(&version) == least && version.contains('-'))
            };
            if floors.iter().any(|(floored, least)| *floored == name && below(*least)) {
                found.push(format!("{name} {version} is below its floor"));
            }
        }
    }
    found
}

/// Major, minor and patch; what follows them is left out.
fn triple(version: &str) -> [u64; 3] {
    let numbers = version.split(['-', '+']).next().unwrap_or_default();
    let mut parts = numbers.split('.').map(|part| part.parse());
    std::array::from_fn(|_| match parts.next() {
        Some(Ok(number)) => number,
        _ => panic!("\"{version}\" is not a version"),
    })
}
