//! What is shipped for machines and containers fits the program, and the service stays in its cage.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use gateway::limits::{CONNECTION_FILES_PERCENT, CONNECTIONS_MAX, DRAIN_TIMEOUT};

const UNIT: &str = "infra/systemd/gateway.service";
/// Exposure in tenths; systemd calls everything up to 2.5 safe enough ("OK" begins at 2.0 downwards). Ours is 1.4.
const EXPOSURE_TENTHS_MAX: &str = "15";

#[test]
fn the_unit_is_hardened() {
    let Ok(version) = Command::new("systemd-analyze").arg("--version").output() else {
        eprintln!("systemd-analyze is missing: the unit's hardening is not measured");
        return;
    };
    assert!(version.status.success());
    let threshold = format!("--threshold={EXPOSURE_TENTHS_MAX}");
    let measured =
        Command::new("systemd-analyze").args(["security", "--offline=true", "--no-pager", &threshold, UNIT]).current_dir(root()).output();
    let measured = measured.unwrap();
    let report = String::from_utf8_lossy(&measured.stdout);
    assert!(
        measured.status.success(),
        "exposure above {EXPOSURE_TENTHS_MAX} tenths:\n{report}{}",
        String::from_utf8_lossy(&measured.stderr)
    );
    assert!(report.contains("Overall exposure level"), "{report}");
}

#[test]
fn the_unit_can_listen_and_keep_what_it_must() {
    let unit = read(UNIT);
    for line in ["AmbientCapabilities=CAP_NET_BIND_SERVICE", "StateDirectory=gateway", "StateDirectoryMode=0700", "ProtectSystem=strict"] {
        assert!(unit.lines().any(|there| there == line), "{line}");
    }
    // What is written lies in the state folder, and the unit says how.
    for path in ["`spool: { path: /var/lib/gateway/spool }`", "`acme: { storage: /var/lib/gateway/acme }`"] {
        assert!(unit.contains(path), "{path}");
    }
}

#[test]
fn the_unit_leaves_room_for_the_limits() {
    let unit = read(UNIT);
    let number = |key: &str| -> u64 {
        let value = unit.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_else(|| panic!("{key}"));
        value.trim_end_matches('s').parse().unwrap()
    };
    let connections = number("LimitNOFILE=") * CONNECTION_FILES_PERCENT / 100;
    assert!(connections >= CONNECTIONS_MAX as u64, "files for {connections} connections");
    // Sessions and deliveries drain one after the other.
    assert!(number("TimeoutStopSec=") > 2 * DRAIN_TIMEOUT.as_secs());
}

/// Cargo refuses a manifest that names files which are not there.
#[test]
fn the_image_copies_all_that_cargo_asks_for() {
    let image = read("infra/oci/Containerfile");
    let build = tempfile::tempdir().unwrap();
    for line in image.lines().filter_map(|line| line.strip_prefix("COPY ")).filter(|line| !line.starts_with("--from")) {
        let (from, to) = line.rsplit_once(' ').unwrap();
        for from in from.split(' ') {
            let copied = Command::new("cp").arg("-r").arg(root().join(from)).arg(build.path().join(to)).status().unwrap();
            assert!(copied.success(), "{line}");
        }
    }
    // Crates for other systems need not be at hand.
    let cargo = Command::new(env!("CARGO")).arg("-vV").output().unwrap();
    let cargo = String::from_utf8(cargo.stdout).unwrap();
    let host = cargo.lines().find_map(|line| line.strip_prefix("host: ")).expect("Cargo says for which system it is");
    let fetch = ["fetch", "--locked", "--offline", "--target", host];
    let read = Command::new(env!("CARGO")).args(fetch).current_dir(build.path()).output().unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
}

#[test]
fn the_commands_of_unit_and_image_are_understood() {
    let unit = read(UNIT);
    let of_unit = unit.lines().filter_map(|line| line.strip_prefix("ExecStartPre=").or(line.strip_prefix("ExecStart=")));
    let mut commands: Vec<Vec<String>> = of_unit.map(|line| line.split_whitespace().skip(1).map(str::to_owned).collect()).collect();
    let image = read("infra/oci/Containerfile");
    let words = image.lines().find_map(|line| line.strip_prefix("CMD ")).expect("the image has a command");
    commands.push(serde_json::from_str(words).unwrap());
    assert_eq!(commands.len(), 3);
    for command in commands {
        let (name, arguments) = command.split_first().unwrap();
        let asked = Command::new(env!("CARGO_BIN_EXE_gateway")).args([name, "--help"]).output().unwrap();
        let help = String::from_utf8(asked.stdout).unwrap();
        assert!(asked.status.success(), "{name} is not a command");
        // Paths belong to the machine; options and their words to the program.
        let unknown: Vec<_> = arguments.iter().filter(|word| !word.starts_with('/') && !help.contains(word.as_str())).collect();
        assert!(unknown.is_empty(), "{command:?}: {unknown:?} is not in the help:\n{help}");
    }
}

#[test]
fn the_image_is_made_of_files_that_are_there() {
    let image = read("infra/oci/Containerfile");
    let copied = image.lines().filter_map(|line| line.strip_prefix("COPY ")).filter(|line| !line.starts_with("--from="));
    let sources: Vec<String> = copied
        .flat_map(|line| {
            let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
            let sources = words.len() - 1;
            words.into_iter().take(sources)
        })
        .collect();
    assert!(sources.len() >= 3, "{sources:?}");
    let missing: Vec<_> = sources.iter().filter(|source| !root().join(source).exists()).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let built_with = image.lines().find_map(|line| line.strip_prefix("FROM docker.io/library/rust:")).unwrap();
    let asked =
        read("Cargo.toml").lines().find_map(|line| line.strip_prefix("rust-version = ").map(|v| v.trim_matches('"').to_owned())).unwrap();
    assert!(built_with.starts_with(&asked), "the image has Rust {built_with}, Cargo.toml asks for {asked}");
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}
