//! Messages that others have signed.

use super::*;
use crate::authentication::{Author, Signed};

#[tokio::test]
#[ignore]
async fn plays() {
    let dir = std::env::var("CASES").unwrap();
    let (mut good, mut bad) = (0, 0);
    for n in 0.. {
        let Ok(eml) = std::fs::read(format!("{dir}/{n}.eml")) else { break };
        let json: serde_json::Value = serde_json::from_slice(&std::fs::read(format!("{dir}/{n}.json")).unwrap()).unwrap();
        let mut zone = Zone::default();
        for (name, record) in json["zone"].as_object().unwrap() {
            zone.add(name, record.as_str().unwrap());
        }
        let original = Original::parse(eml.into()).unwrap();
        let signed = Signed::parse(&original);
        let mut told = vec![];
        if let Some(expected) = json["dkim"].as_str() {
            let found = crate::authentication::dkim::examine(&zone, &signed, &Author::read(&original), NOW).await;
            let ok = found.result.as_str() == expected || (expected == "not" && found.result.as_str() != "pass");
            if !ok { told.push(format!("dkim {expected} {:?}", found.signatures)); }
        }
        if let Some(expected) = json["arc"].as_str() {
            let found = crate::authentication::arc::examine(&zone, &signed, NOW).await;
            if found.result.as_str() != expected { told.push(format!("arc {expected} {found:?}")); }
        }
        if told.is_empty() { good += 1 } else { bad += 1; println!("{n} {}: {told:?}", json["note"]); }
    }
    println!("good {good} bad {bad}");
}
