//! What a check of a large configuration takes: 1,000 rule sets of 40 rules each, with lists, networks, texts and regular expressions.
//! `cargo bench --bench validate`
//!
//! The target is under a second on two processors. `-- FILES RULES` measures another size, `-- FILES RULES FOLDER` leaves the files there.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use gateway::config;

/// Of the whole check; the best counts, since what disturbs it only ever adds.
const ROUNDS: usize = 7;
/// What it may take.
const TARGET: Duration = Duration::from_secs(1);

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let number = |place: usize, default: usize| args.get(place).map_or(default, |arg| arg.parse().unwrap());
    let (files, rules) = (number(0, 1000), number(1, 40));
    let temporary = tempfile::tempdir().unwrap();
    let folder = args.get(2).map_or(temporary.path(), Path::new);
    let bytes = generate(folder, files, rules);
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let report = config::check(&[folder.to_owned()]).unwrap();
        times.push(began.elapsed());
        assert_eq!(report.files_checked, files + 4, "{}", report.render(config::Format::Text, false));
        assert_eq!(report.errors() + report.warnings(), 0, "{}", report.render(config::Format::Text, false));
    }
    times.sort();
    let (best, median) = (times[0], times[times.len() / 2]);
    let megabytes = bytes as f64 / 1e6;
    println!("{files} files, {} rules, {megabytes:.1} MB", files * rules);
    println!(
        "best {best:.2?}, median {median:.2?}; {:.1} MB/s, {:.0} rules/s",
        megabytes / best.as_secs_f64(),
        (files * rules) as f64 / best.as_secs_f64()
    );
    println!("{:.2} of the target of {TARGET:?}", best.as_secs_f64() / TARGET.as_secs_f64());
}

/// Writes a deployment; the octets of its rule sets.
fn generate(folder: &Path, files: usize, rules: usize) -> usize {
    let write = |path: &str, text: &str| {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        text.len()
    };
    write(
        "gateway.yaml",
        "hostname: mx1.acme.example\ndomains: [acme.example]\nendpoints:\n  mx: { listen: \"127.0.0.1:2525\", policy: edge, rules: set0000 }\n\
         relays:\n  google: { preset: google-workspace }\n  exchange: { host: exchange.acme.example, port: 587, tls: verify }\n\
         address_lists: { denylist: { file: lists/denylist.csv } }\nip_lists: { drop: { file: lists/drop.txt } }\n",
    );
    write(
        "policies/edge.yaml",
        "default: deny\ndeny:\n  - { name: listed, when: [{ sender_ip: { in_list: drop } }] }\nallow:\n  - { name: ours, when: [{ recipient: { ends_with: \"@acme.example\" } }] }\n",
    );
    write("lists/denylist.csv", "address\nnewsletter@spam.example\n");
    write("lists/drop.txt", "198.51.100.0/24\n");
    (0..files)
        .map(|file| {
            let mut text = String::from("# A rule set of a branch office.\notherwise: reject\n\nrules:\n");
            for rule in 0..rules {
                rule_of(&mut text, file, rule);
            }
            write(&format!("rules/set{file:04}.yaml"), &text)
        })
        .sum()
}

/// A rule of one of eight kinds, none of them like another.
fn rule_of(text: &mut String, file: usize, rule: usize) {
    let name = format!("{file}-{rule}");
    let (a, b) = (file % 256, rule % 256);
    let (when, actions) = match rule % 8 {
        0 => (
            format!("      - mail_from: {{ in_list: denylist }}\n      - recipient_base: {{ equals: \"user-{name}@acme.example\" }}\n"),
            "      - Drop\n".to_owned(),
        ),
        1 => (
            format!("      - source_ip: {{ cidr_matches: [10.{a}.{b}.0/24, \"2001:db8:{a:x}:{b:x}::/64\"] }}\n      - tls: true\n"),
            format!("      - AddHeader: {{ name: X-Acme-Branch, value: \"{name} from {{{{ source_ip }}}}\" }}\n"),
        ),
        2 => (
            format!(
                "      - subject: {{ contains: [\"invoice {name}\", payment, \"order\"] }}\n      - message_size: {{ greater_than: {}KiB }}\n",
                rule + 1
            ),
            format!("      - PrefixSubject: {{ text: \"[{name}] \" }}\n"),
        ),
        3 => (
            format!(
                "      - any:\n          - from_domain: {{ equals: branch-{name}.example }}\n          - all:\n              - spf: {{ equals: [fail, processing_failed] }}\n              - recipient_count: {{ greater_than: {} }}\n",
                rule + 2
            ),
            "      - Reject: { code: 550, status: 5.7.1, text: \"Not accepted here\" }\n".to_owned(),
        ),
        4 => (
            format!("      - mail_from_domain: {{ equals: office-{name}.acme.example }}\n"),
            "      - SMTPRelay: { relay: exchange, mail_from: preserve, on_failure: bounce }\n      - Stop\n".to_owned(),
        ),
        5 => (
            format!(
                "      - header: {{ name: X-Branch, starts_with: \"b-{name}\" }}\n      - not: {{ dmarc_result: {{ equals: pass }} }}\n"
            ),
            "      - RemoveHeader: { name: X-Branch }\n".to_owned(),
        ),
        6 => (
            format!(
                "      - attachment: {{ extension: {{ equals: [exe, scr, bat] }} }}\n      - recipient: {{ ends_with: \"+{name}@acme.example\" }}\n"
            ),
            format!("      - ReplaceRecipient: {{ with: [\"quarantine-{name}@acme.example\"] }}\n"),
        ),
        _ => (
            format!("      - subject: {{ matches: \"^ticket-{name}-[0-9]+\" }}\n"),
            "      - SMTPRelay: { relay: google }\n      - Stop\n".to_owned(),
        ),
    };
    let _ = write!(text, "\n  - name: rule-{name}            # kept by the branch\n    when:\n{when}    actions:\n{actions}");
}
