//! Other implementations: dkimpy for DKIM and ARC, OpenDKIM for DKIM.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::common::dns::Zone;
use crate::common::{temporary_folder, tool};

/// RSA keys of one domain, known to the verifier.
pub struct Keys {
    folder: tempfile::TempDir,
    names: Vec<String>,
}

impl Keys {
    /// A key for each name, as DNS has it: `s1._domainkey.acme.example`.
    pub fn new(names: &[&str]) -> Self {
        let keys = Self { folder: temporary_folder(), names: names.iter().map(|name| (*name).to_owned()).collect() };
        for name in names {
            std::fs::write(keys.folder.path().join(name), pem()).unwrap();
        }
        keys
    }

    /// Puts the public keys where their names say.
    pub fn publish(&self, zone: &Zone) {
        for (name, record) in self.records() {
            zone.txt(&name, record.as_str().expect("a text"));
        }
    }

    /// The file with the private key.
    pub fn file(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    /// The text of the private key.
    pub fn pem(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap()
    }

    /// The message with a DKIM signature over these fields on top.
    pub fn sign(&self, message: &[u8], domain: &str, selector: &str, canonicalize: &str, headers: &[&str]) -> Vec<u8> {
        let key = self.file(&format!("{selector}._domainkey.{domain}"));
        let order =
            json!({ "do": "sign", "domain": domain, "selector": selector, "key": key, "canonicalize": canonicalize, "headers": headers });
        run(&order, message)
    }

    /// The message with an ARC set on top.
    pub fn seal(&self, message: &[u8], domain: &str, selector: &str) -> Vec<u8> {
        let key = self.file(&format!("{selector}._domainkey.{domain}"));
        run(&json!({ "do": "seal", "domain": domain, "selector": selector, "key": key}), message)
    }

    /// What dkimpy finds out about a message: `dkim`, one truth for each signature, `arc`, `instances`, `valid`, and `results`, its
    /// Authentication-Results fields as authres reads them.
    pub fn verify(&self, message: &[u8]) -> Value {
        serde_json::from_slice(&run(&json!({ "do": "verify", "keys": self.known() }), message)).expect("JSON")
    }

    /// What OpenDKIM says of the signatures of a message.
    pub fn opendkim(&self, message: &[u8]) -> String {
        let file = |name: &str, content: &[u8]| {
            let path = self.folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            path.display().to_string()
        };
        let records: String = self.records().iter().map(|(name, record)| format!("{name} {}\n", record.as_str().unwrap())).collect();
        let known = file("opendkim.keys", records.as_bytes());
        let configuration = file("opendkim.conf", format!("Mode v\nSyslog no\nTestPublicKeys {known}\n").as_bytes());
        let arguments = ["-f", "-x", &configuration, "-t", &file("message.eml", message), "-v"];
        let output = tool("opendkim").args(arguments).output().expect("OpenDKIM starts");
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    }

    /// As DNS has them.
    fn records(&self) -> serde_json::Map<String, Value> {
        serde_json::from_slice(&run(&json!({ "do": "records", "keys": self.known() }), b"")).expect("JSON")
    }

    fn known(&self) -> Value {
        self.names.iter().map(|name| (name.clone(), json!(self.file(name)))).collect::<serde_json::Map<_, _>>().into()
    }
}

/// A new RSA key.
pub fn pem() -> String {
    rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap().serialize_pem()
}

fn run(order: &Value, message: &[u8]) -> Vec<u8> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/harness/signatures.py");
    let mut process = tool("python")
        .arg(script)
        .arg(order.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python starts");
    process.stdin.take().expect("a pipe").write_all(message).expect("python reads");
    let output = process.wait_with_output().expect("python ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
