//! Traffic policies.
//!
//! A policy here has no "not in this list". A statement that refuses everybody outside a list is turned round: what is allowed must be in the
//! list. That is the same, because statements that deny come first. Other statements with such a condition are written the stricter way.

use super::super::model::{
    AcceptAction, BooleanOperator, IngressBooleanToEvaluate, IngressStringToEvaluate, IngressTlsProtocolOperator, IpOperator,
    PolicyCondition, PolicyStatement, TrafficPolicy,
};
use super::super::read::Found;
use super::super::yaml::{Comment, Item, Written, Yaml, file};
use super::conditions::{analyzed, boolean, networks, string_operator};
use super::names::Names;
use super::remarks::{Remarks, Subject};
use super::{notes, size};

/// A policy as a file.
pub(super) fn policy(name: &str, found: &Found<TrafficPolicy>, names: &mut Names, lost: &mut Vec<String>) -> Written {
    let policy = &found.value;
    let mut remarks = Remarks::default();
    let mut head = vec![
        Comment::plain(match &policy.traffic_policy_id {
            Some(id) => format!("The traffic policy `{}` of Mail Manager ({id}).", policy.traffic_policy_name),
            None => format!("The traffic policy `{}` of Mail Manager.", policy.traffic_policy_name),
        }),
        Comment::plain(
            "Statements that deny are looked at first, as there, so they stand first. They have no names there: the numbers say where they stood.",
        ),
    ];
    head.extend(notes(&found.notes));

    let statements = policy.policy_statements.as_deref().unwrap_or_default();
    let (mut deny, mut allow) = (Vec::new(), Vec::new());
    // Lists that everybody who is allowed must be in.
    let mut required = Vec::new();
    for (place, statement) in statements.iter().enumerate() {
        let number = place.saturating_add(1);
        let mut built = Statement::of(statement, names, &mut remarks);
        if statement.action == AcceptAction::Allow {
            if !built.outside.is_empty() {
                lost.push(format!(
                    "policies/{name}.yaml: statement {number} allows who is not in a list, which a policy cannot ask; it is left out"
                ));
                head.push(Comment::remark(format!(
                    "Statement {number} is left out: it allows who is not in an address list, which a policy cannot ask."
                )));
                continue;
            }
            allow.push((number, built));
        } else if built.outside.is_empty() {
            deny.push((number, built));
        } else if built.conditions.is_empty() && built.outside.len() == 1 {
            required.append(&mut built.outside);
            head.push(Comment::remark(format!(
                "Statement {number} denies who is not in an address list. It is turned round: every statement that allows asks for the list."
            )));
        } else {
            lost.push(format!(
                "policies/{name}.yaml: statement {number} denies who is not in a list and more, which a policy cannot ask; it denies more here"
            ));
            head.push(Comment::remark(format!(
                "Statement {number} denies more than there: it also asks who is not in an address list, which a policy cannot."
            )));
            if !built.conditions.is_empty() {
                deny.push((number, built));
            }
        }
    }

    let allows = policy.default_action == Some(AcceptAction::Allow);
    let is_turned = allows && !required.is_empty();
    let default = Item::entry("default", Yaml::text(if allows && !is_turned { "allow" } else { "deny" }));
    let mut root = vec![if is_turned {
        default.with([Comment::remark("`allow` there; the last statement below allows the rest of who is in the list.")])
    } else {
        default
    }];
    root.extend(policy.max_message_size_bytes.map(|octets| Item::entry("max_message_size", size(octets))));
    let list = |key: &str, statements: Vec<(usize, Statement)>| {
        let items = statements.into_iter().enumerate().map(|(place, (number, statement))| {
            let item = statement.item(&format!("statement-{number}"));
            if place == 0 { item } else { item.apart() }
        });
        Item::entry(key, Yaml::List(items.collect())).apart()
    };
    for (_, statement) in &mut allow {
        statement.conditions.extend(required.iter().map(|list| Item::of(in_list(list))));
    }
    if is_turned {
        let conditions = required.iter().map(|list| Item::of(in_list(list))).collect();
        allow.push((statements.len().saturating_add(1), Statement { conditions, outside: Vec::new() }));
    }
    if !deny.is_empty() {
        root.push(list("deny", deny));
    }
    if !allow.is_empty() {
        root.push(list("allow", allow));
    }
    file(&head, &root)
}

fn in_list(list: &str) -> Yaml {
    Yaml::one("recipient", Yaml::one("in_list", Yaml::text(list)))
}

/// A statement on its way.
struct Statement {
    conditions: Vec<Item>,
    /// Address lists that the recipient must not be in.
    outside: Vec<String>,
}

impl Statement {
    fn of(statement: &PolicyStatement, names: &mut Names, remarks: &mut Remarks) -> Self {
        let mut built = Self { conditions: Vec::new(), outside: Vec::new() };
        for condition in &statement.conditions {
            match condition {
                PolicyCondition::StringExpression(expression) => {
                    let (operator, values) = (string_operator(expression.operator), Yaml::texts(&expression.values));
                    built.conditions.push(match &expression.evaluate {
                        IngressStringToEvaluate::Attribute(_) => Item::of(Yaml::one("recipient", Yaml::one(operator, values))),
                        IngressStringToEvaluate::Analysis(analysis) => analyzed(analysis, operator, values, names, remarks),
                    });
                }
                PolicyCondition::IpExpression(expression) => built.network(expression.operator, &expression.values, remarks),
                PolicyCondition::Ipv6Expression(expression) => built.network(expression.operator, &expression.values, remarks),
                PolicyCondition::TlsExpression(expression) => {
                    let operator = match expression.operator {
                        IngressTlsProtocolOperator::MinimumTlsVersion => "minimum_tls_version",
                        IngressTlsProtocolOperator::Is => "is",
                    };
                    let version = Yaml::text(expression.value.word().to_ascii_lowercase());
                    let item = Item::of(Yaml::one("tls_protocol", Yaml::one(operator, version)));
                    built.conditions.push(item.with([remarks.on(Subject::PlainText)]));
                }
                PolicyCondition::BooleanExpression(expression) => {
                    let wanted = expression.operator == BooleanOperator::IsTrue;
                    match &expression.evaluate {
                        IngressBooleanToEvaluate::Analysis(analysis) => {
                            built.conditions.push(analyzed(analysis, "equals", boolean(wanted), names, remarks));
                        }
                        IngressBooleanToEvaluate::IsInAddressList(test) => {
                            let list = names.address_list(test.address_lists.first().map_or("", String::as_str));
                            if wanted { built.conditions.push(Item::of(in_list(&list))) } else { built.outside.push(list) }
                        }
                    }
                }
            }
        }
        built
    }

    fn network(&mut self, operator: IpOperator, values: &[String], remarks: &mut Remarks) {
        let (test, comment) = networks(operator, values);
        let doubt = (operator == IpOperator::NotCidrMatches).then(|| remarks.on(Subject::OtherFamily));
        self.conditions.push(Item::of(Yaml::one("sender_ip", test)).with(comment).with(doubt));
    }

    fn item(self, name: &str) -> Item {
        Item::of(Yaml::tall(vec![Item::entry("name", Yaml::text(name)), Item::entry("when", Yaml::List(self.conditions))]))
    }
}
