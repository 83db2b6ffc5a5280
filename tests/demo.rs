//! The README's first command does what it says: every message of the demonstration fares as its title promises.

use std::process::Command;

#[test]
fn the_demonstration_comes_out_as_announced() {
    let output = Command::new(env!("CARGO_BIN_EXE_gateway")).arg("demo").current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{shown}\n{}", String::from_utf8_lossy(&output.stderr));
    for expected in [
        "policy   deny by `listed-networks` (connect)",
        "552 5.3.4",
        "action   Drop by `denylisted`: done",
        "action   SMTPRelay to RelayToMyExchangeServer by `gmail-to-exchange`: delivered",
        "action   PrefixSubject by `tag-external-invoices`: done",
        "attempt  #1 m365 over TLSv1.3: dora@acme.org delivered",
        "reply    550 5.7.1 Executable attachments are not accepted here",
        "verdict  spf=pass (partner.example) dkim=none dmarc=pass (reject) arc=none",
        "verdict  spf=fail (partner.example) dkim=none dmarc=fail (reject) arc=none",
        "reply    550 5.7.1 This message is not from the domain that it says (DMARC)",
        "attempt  #1 google over TLSv1.3: busy@acme.example deferred: 451",
        "attempt  #2 google over TLSv1.3: busy@acme.example delivered: 250",
        "13 messages, each as its title says.",
    ] {
        assert!(shown.contains(expected), "`{expected}` is not in\n{shown}");
    }
    assert!(!shown.contains("demonstration\""), "the password of the stand-in is shown\n{shown}");
}

#[test]
fn a_deployment_with_mistakes_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.yaml");
    std::fs::write(&file, "hostname: mx1.acme.example\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_gateway")).arg("demo").arg("--config").arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("error["), "{}", String::from_utf8_lossy(&output.stderr));
}
