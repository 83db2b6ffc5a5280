//! `gateway validate` on whatever may lie in a folder: it says what is wrong, in bounded time and memory, and ends with the right code.
//!
//! The program itself is run, as an operator runs it; its peak of memory is read when it has ended.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// No check of a hostile folder takes longer, on a machine that is busy with other things too.
const TIME_MAX: Duration = Duration::from_secs(120);
/// Address space that the program may take, in KiB: what is refused must not have been taken in first.
const MEMORY_MAX_KIB: u64 = 1_500_000;

struct Outcome {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Runs the command in a folder, with bounds of memory and time.
fn validate(folder: &Path, args: &[&str]) -> Outcome {
    let began = Instant::now();
    // The shell's `ulimit` bounds the program that it becomes; `timeout` ends one that hangs.
    let script = format!("ulimit -v {MEMORY_MAX_KIB}; exec timeout {} \"$@\"", TIME_MAX.as_secs());
    let output = Command::new("bash")
        .args(["-c", &script, "bash", env!("CARGO_BIN_EXE_gateway"), "validate"])
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(began.elapsed() < TIME_MAX, "{args:?} took {:?}", began.elapsed());
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Outcome { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

fn write(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) {
    fs::create_dir_all(path.as_ref().parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

const RULES: &str = "rules:\n  - { name: everyone, actions: [Drop] }\n";

#[test]
fn no_text_is_too_bad() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules");
    let utf16: Vec<u8> = "\u{feff}rules: []\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut noise = 1_u32;
    let binary: Vec<u8> = std::iter::repeat_with(|| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        noise.to_be_bytes()[0]
    })
    .take(1_000_000)
    .collect();
    let cases: [(&str, Vec<u8>, &str); 15] = [
        ("huge", b"rules: # ".iter().copied().chain(vec![b'x'; 100 << 20]).collect(), "error[too-large]"),
        ("brackets", vec![b'['; 100_000], "error[too-deep]"),
        ("braces", "{a: ".repeat(100_000).into(), "error[too-deep]"),
        ("indented", (0..3000).map(|n| format!("{}a:\n", " ".repeat(n))).collect::<String>().into(), "error[too-deep]"),
        ("dashes", "- ".repeat(100_000).into(), "error[too-deep]"),
        ("items", format!("rules: [{}]", "a,".repeat(4_000_000)).into(), "error[too-large]"),
        ("keys", (0..450_000).map(|n| format!("k{n}:\n")).collect::<String>().into(), "error[unknown-key]"),
        ("binary", binary, "error[encoding]"),
        ("nul", b"rules:\0\n".to_vec(), "error[encoding]"),
        ("utf16", utf16, "error[encoding]"),
        ("circle", b"rules: &a [*a]\n".to_vec(), "error[anchor]"),
        ("bomb", (0..40).map(|n| format!("a{}: &a{} [*a{n}, *a{n}]\n", n + 1, n + 1)).collect::<String>().into(), "error[anchor]"),
        ("long-line", format!("rules: \"{}\"\n", "ä".repeat(3_000_000)).into(), "error[wrong-type]"),
        ("escapes", "rules: \"\\e[31m\"\n".into(), "error[wrong-type]"),
        ("quotes", "rules: \"\n".into(), "error[syntax]"),
    ];
    for (name, bytes, expected) in cases {
        let path = rules.join(format!("{name}.yaml"));
        write(&path, bytes);
        let found = validate(folder.path(), &[&format!("rules/{name}.yaml")]);
        assert_eq!(found.code, Some(1), "{name}: {}", found.err);
        assert!(found.out.contains(expected), "{name}: {}", found.out);
        assert!(!found.out.contains('\u{1b}') && found.out.len() < 200_000, "{name}");
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_no_mistakes() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path().join("rules/a.yaml"), format!("\u{feff}{}", RULES.replace('\n', "\r\n")));
    let found = validate(folder.path(), &[]);
    assert_eq!((found.code, found.out.as_str()), (Some(0), ""), "{}", found.err);
    // Places behind the mark are right, too: what is fixed is what was shown.
    write(folder.path().join("rules/a.yaml"), "\u{feff}rules:\r\n  - { name: 7, actions: [Drop] }\r\n");
    let found = validate(folder.path(), &["--fix"]);
    assert_eq!(found.code, Some(0), "{}{}", found.out, found.err);
    assert!(found.err.contains("fixed rules/a.yaml:2: write `\"7\"`"), "{}", found.err);
    let fixed = fs::read_to_string(folder.path().join("rules/a.yaml")).unwrap();
    assert_eq!(fixed, "\u{feff}rules:\r\n  - { name: \"7\", actions: [Drop] }\r\n");
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules");
    write(rules.join("good.yaml"), RULES);
    assert!(Command::new("mkfifo").arg(rules.join("pipe.yaml")).status().unwrap().success());
    let _socket = UnixListener::bind(rules.join("socket.yaml")).unwrap();
    symlink("/dev/zero", rules.join("device.yaml")).unwrap();
    symlink("nowhere", rules.join("broken.yaml")).unwrap();
    symlink("loop.yaml", rules.join("loop.yaml")).unwrap();
    fs::create_dir(rules.join("folder.yaml")).unwrap();
    let found = validate(folder.path(), &["--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&found.out).unwrap();
    let messages: Vec<(&str, &str)> = json["diagnostics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|found| (found["file"].as_str().unwrap(), found["message"].as_str().unwrap()))
        .collect();
    let expected = [
        ("rules/broken.yaml", "the file cannot be read: there is no such file"),
        ("rules/device.yaml", "the file cannot be read: it is a device"),
        ("rules/loop.yaml", "the file cannot be read: its links lead in a circle"),
        ("rules/pipe.yaml", "the file cannot be read: it is a named pipe"),
        ("rules/socket.yaml", "the file cannot be read: it is a socket"),
    ];
    assert_eq!((found.code, messages), (Some(1), expected.to_vec()), "{}", found.err);
    for (path, why) in
        [("rules/pipe.yaml", "named pipe"), ("rules/socket.yaml", "socket"), ("/dev/null", "device"), ("-", "standard input")]
    {
        let found = validate(folder.path(), &[path]);
        assert_eq!(found.code, Some(2), "{path}");
        assert!(found.err.contains(why), "{path}: {}", found.err);
    }
    // Lists that a deployment names are read as carefully.
    write(folder.path().join("gateway.yaml"), "ip_lists: { a: { file: rules/pipe.yaml } }\n");
    let found = validate(folder.path(), &["gateway.yaml"]);
    assert!(found.code == Some(1) && found.out.contains("it is a named pipe"), "{}", found.out);
}

#[test]
fn circles_of_folders_end_and_a_path_given_twice_counts_once() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path().join("a/rules/one.yaml"), RULES);
    for n in 0..10 {
        symlink("..", folder.path().join(format!("a/up{n}"))).unwrap();
        symlink(".", folder.path().join(format!("a/here{n}"))).unwrap();
    }
    let found = validate(folder.path(), &[".", "a", "./a/../a", "a/rules/one.yaml"]);
    assert_eq!(found.code, Some(0), "{}", found.err);
    assert!(found.err.starts_with("1 file checked") || found.err.starts_with("2 files checked"), "{}", found.err);
    let empty = tempfile::tempdir().unwrap();
    let found = validate(empty.path(), &[]);
    assert_eq!((found.code, found.err.as_str()), (Some(2), "gateway validate: .: there is no YAML file in this folder\n"));
    let found = validate(empty.path(), &["missing"]);
    assert_eq!((found.code, found.err.as_str()), (Some(2), "gateway validate: missing: there is no such file\n"));
}

#[test]
fn ten_thousand_files_with_mistakes_are_summed_up() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("rules:\n{}", "  - { nmae: x, actions: [Drop] }\n".repeat(2));
    for n in 0..10_000 {
        write(folder.path().join(format!("rules/set{n:05}.yaml")), &text);
    }
    let found = validate(folder.path(), &[]);
    assert_eq!(found.code, Some(1));
    assert_eq!(found.out.matches("error[").count(), 1000);
    assert!(found.err.contains("20000 errors in 10000 files; 19000 of them are not shown"), "{}", found.err);
}

#[test]
fn permissions_are_told_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules");
    write(rules.join("a.yaml"), RULES);
    fs::set_permissions(rules.join("a.yaml"), fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read(rules.join("a.yaml")).is_ok() {
        // Root reads everything; the message is that of any error of the system, which other cases show.
        return;
    }
    let found = validate(folder.path(), &[]);
    assert!(found.code == Some(1) && found.out.contains("the file cannot be read: permission denied"), "{}", found.out);
}

#[test]
fn codes_are_explained_listed_and_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    write(place.join("rules/a.yaml"), "rules:\n  - { name: ours, when: [{ from: { contains: acme.example } }], actions: [Drop] }\n");
    let run = |args: &[&str]| validate(place, args);
    let found = run(&["--explain", "contains-domain"]);
    assert!(found.code == Some(0) && found.out.contains("```yaml wrong") && found.out.contains("# gateway: allow(contains-domain)"));
    let found = run(&["--explain", "contain-domain"]);
    assert!(found.code == Some(2) && found.err.contains("did you mean `contains-domain`?"), "{}", found.err);
    let found = run(&["--explain"]);
    assert!(found.code == Some(0) && found.out.lines().count() > 50 && found.out.contains("  dead-rule"), "{}", found.out);

    assert_eq!(run(&[]).code, Some(0));
    let denied = run(&["--deny", "contains-domain"]);
    assert!(denied.code == Some(1) && denied.out.starts_with("error[contains-domain]"), "{}", denied.out);
    let allowed = run(&["--strict", "--allow", "contains-domain"]);
    assert_eq!((allowed.code, allowed.out.as_str()), (Some(0), ""), "{}", allowed.err);
    for (args, problem) in [
        (["--allow", "bad-value"], "`bad-value` is an error: only warnings can be allowed"),
        (["--deny", "nonsense"], "there is no diagnostic `nonsense`"),
    ] {
        let refused = run(&args);
        assert!(refused.code == Some(2) && refused.err.contains(problem), "{}", refused.err);
    }
    assert_eq!(run(&["--allow", "unused", "--deny", "unused"]).code, Some(2));
}

#[test]
fn a_diff_changes_nothing_and_a_fix_what_the_diff_shows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules/a.yaml");
    let text = "# ours\nrules:\n  - name: office\n    when:\n      - source_ip: { cidr_matches: [192.0.2.7/24] }   # all of it\n    actions: Drop\n";
    write(&path, text);
    let diff = validate(folder.path(), &["--diff"]);
    assert_eq!(diff.code, Some(1), "{}", diff.err);
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    // `patch` takes it.
    write(folder.path().join("changes.diff"), &diff.out);
    let copy = tempfile::tempdir().unwrap();
    write(copy.path().join("rules/a.yaml"), text);
    if let Ok(status) =
        Command::new("patch").args(["-s", "-p1", "-i"]).arg(folder.path().join("changes.diff")).current_dir(copy.path()).status()
    {
        assert!(status.success(), "{}", diff.out);
    }
    let fixed = validate(folder.path(), &["--fix"]);
    assert_eq!(fixed.code, Some(0), "{}", fixed.err);
    let expected = text.replace("192.0.2.7/24", "192.0.2.0/24").replace(": Drop", ": [Drop]");
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    assert_eq!(validate(folder.path(), &["--diff"]).out, "");
    let others: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(others, [OsStr::new("a.yaml")]);
}

#[test]
fn a_file_that_is_written_all_the_time_is_read_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules/a.yaml");
    write(&path, RULES);
    let ended = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let long = format!("{RULES}{}", "# more\n".repeat(1000));
            let mut turn = false;
            while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                turn = !turn;
                fs::write(&path, if turn { &long } else { RULES }).unwrap();
            }
        });
        for _ in 0..20 {
            let found = validate(folder.path(), &[]);
            let is_half = found.out.contains("the file is empty");
            assert!(matches!(found.code, Some(0 | 1)), "{}", found.err);
            assert!(found.code == Some(0) || is_half || found.out.contains("it changes while it is read"), "{}", found.out);
        }
        ended.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

/// Each rule changes the message and delivers it, so that each pair of them is a question of its own.
#[test]
fn a_thousand_rules_that_all_deliver_are_proven_in_bounded_time() {
    let folder = tempfile::tempdir().unwrap();
    let rule = |number: usize| {
        format!(
            "  - name: r{number}\n    when:\n      - any: [{{ subject: {{ contains: [a{number}, b, c] }} }}, {{ header: {{ name: X-{}, not_equals: [d{number}] }} }}]\n    \
             actions: [{{ AddHeader: {{ name: X-{}, value: e{number} }} }}, {{ SMTPRelay: {{ relay: next }} }}]\n",
            number % 7,
            number % 5
        )
    };
    let rules: String = (0..1000).map(rule).collect();
    write(folder.path().join("rules/many.yaml"), format!("otherwise: reject\nrules:\n{rules}"));
    let outcome = validate(folder.path(), &["rules"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.err);
}
