//! The log of one connection, read as an operator would read it.

use serde_json::Value;

/// The events of one connection.
#[derive(Debug, Default)]
pub(super) struct Trail(Vec<Value>);

impl Trail {
    /// Whether the connection is over and every recipient of every message in it has come to an end.
    pub(super) fn is_complete(&self) -> bool {
        let over = self.of("disconnected").next().is_some();
        over && self.of("message").all(|message| self.is_settled(message))
    }

    fn is_settled(&self, message: &Value) -> bool {
        let recipients = message["recipients"].as_array().map_or(0, Vec::len);
        let outcomes = self.of("outcome").filter(|outcome| outcome["message"] == message["message"]);
        let mut settled: Vec<&Value> = outcomes.map(|outcome| &outcome["recipient"]).collect();
        settled.dedup();
        settled.len() >= recipients
    }

    pub(super) fn push(&mut self, event: Value) {
        // What the process says of itself belongs to no connection.
        if event["session"].is_string() {
            self.0.push(event);
        }
    }

    /// `recipient outcome`, in the order in which they were recorded.
    pub(super) fn outcomes(&self) -> Vec<String> {
        self.of("outcome").map(|event| format!("{} {}", text(&event["recipient"]), text(&event["outcome"]))).collect()
    }

    pub(super) fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Value> {
        self.0.iter().filter(move |event| event["event"] == name)
    }

    /// What to look for in the log.
    pub(super) fn id(&self) -> &str {
        let message = self.of("message").next().map(|event| &event["message"]);
        message.or(self.0.first().map(|event| &event["session"])).and_then(Value::as_str).unwrap_or("-")
    }

    /// Label and text, line by line.
    pub(super) fn lines(&self, reply: &str) -> Vec<(&'static str, String)> {
        let mut lines: Vec<(&'static str, String)> = Vec::new();
        let policy = self.of("policy").map(|event| {
            let whom = event["recipient"].as_str().map(|recipient| format!(" for {recipient}")).unwrap_or_default();
            ("policy", format!("{} by `{}`{whom} ({})", text(&event["verdict"]), text(&event["statement"]), text(&event["stage"])))
        });
        let verdicts = self.of("verdicts").map(|event| ("verdict", verdicts(event)));
        let refused = self.of("refused").map(|event| ("refused", format!("at {}: {}", text(&event["stage"]), reply_text(&event["reply"]))));
        let rules = self.of("rule").map(|event| ("rule", format!("`{}` for {}", text(&event["rule"]), list(&event["recipients"]))));
        let actions = self.of("action").map(|event| {
            let relay = event["relay"].as_str().map(|relay| format!(" to {relay}")).unwrap_or_default();
            ("action", format!("{}{relay} by `{}`: {}", text(&event["action"]), text(&event["rule"]), text(&event["outcome"])))
        });
        let attempts = self.of("attempt").flat_map(|event| {
            let tls = event["tls"].as_str().unwrap_or("no TLS");
            let to = format!("#{} {} over {tls}", event["attempt"], text(&event["relay"]));
            event["recipients"].as_array().into_iter().flatten().map(move |one| {
                ("attempt", format!("{to}: {} {}: {}", text(&one["recipient"]), text(&one["result"]), reply_text(&one["reply"])))
            })
        });
        let outcomes = self.of("outcome").map(|event| ("outcome", format!("{}: {}", text(&event["recipient"]), text(&event["outcome"]))));
        lines.extend(policy.chain(refused).chain(verdicts).chain(rules).chain(actions).chain(attempts).chain(outcomes));
        lines.push(("reply", reply.to_owned()));
        lines
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

/// The results, each with what it is a result of.
fn verdicts(event: &Value) -> String {
    let of = |method: &str, what: &str| {
        let found = event[method].as_object()?;
        let of = found.get(what).and_then(Value::as_str).filter(|of| !of.is_empty()).map(|of| format!(" ({of})")).unwrap_or_default();
        Some(format!("{method}={}{of}", text(found.get("result")?)))
    };
    let all = [of("spf", "domain"), of("dkim", "domain"), of("dmarc", "policy"), of("arc", "sealer")];
    all.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn list(value: &Value) -> String {
    value.as_array().into_iter().flatten().map(text).collect::<Vec<_>>().join(", ")
}

fn reply_text(reply: &Value) -> String {
    format!("{} {} {}", reply["code"], text(&reply["status"]), text(&reply["text"]))
}
