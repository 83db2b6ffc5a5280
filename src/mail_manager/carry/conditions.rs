//! Conditions of rules.

use super::super::model::{
    Analysis, BooleanOperator, EqualityOperator, IpOperator, RuleAddressListAttribute, RuleBooleanAttribute, RuleBooleanToEvaluate,
    RuleCondition, RuleDmarcPolicy, RuleIpToEvaluate, RuleNumberExpression, RuleNumberOperator, RuleNumberToEvaluate, RuleStringAttribute,
    RuleStringToEvaluate, RuleVerdictToEvaluate, StringOperator,
};
use super::super::yaml::{Comment, Item, Yaml};
use super::names::Names;
use super::remarks::{Remarks, Subject};
use super::{network, size};

/// A condition as an item with its comments, or why there is none.
pub(super) fn condition(condition: &RuleCondition, names: &mut Names, remarks: &mut Remarks) -> Result<Item, String> {
    match condition {
        RuleCondition::StringExpression(expression) => {
            let (operator, values) = (string_operator(expression.operator), Yaml::texts(&expression.values));
            Ok(match &expression.evaluate {
                RuleStringToEvaluate::Attribute(attribute) => {
                    let key = attribute.word().to_ascii_lowercase();
                    let is_header = matches!(
                        attribute,
                        RuleStringAttribute::From | RuleStringAttribute::To | RuleStringAttribute::Cc | RuleStringAttribute::Sender
                    );
                    // `contains` looks at the display name too.
                    let is_doubtful = is_header && expression.operator != StringOperator::Contains;
                    Item::of(Yaml::one(&key, Yaml::one(operator, values))).with(is_doubtful.then(|| remarks.on(Subject::HeaderAddress)))
                }
                RuleStringToEvaluate::MimeHeaderAttribute(name) => {
                    Item::of(Yaml::one("header", Yaml::map(vec![Item::entry("name", Yaml::text(name)), Item::entry(operator, values)])))
                }
                RuleStringToEvaluate::ClientCertificateAttribute(attribute) => {
                    let attribute = Yaml::text(attribute.word().to_ascii_lowercase());
                    Item::of(Yaml::one(
                        "client_certificate",
                        Yaml::map(vec![Item::entry("attribute", attribute), Item::entry(operator, values)]),
                    ))
                }
                RuleStringToEvaluate::Analysis(analysis) => analyzed(analysis, operator, values, names, remarks),
            })
        }
        RuleCondition::BooleanExpression(expression) => {
            let wanted = expression.operator == BooleanOperator::IsTrue;
            Ok(match &expression.evaluate {
                RuleBooleanToEvaluate::Attribute(attribute) => {
                    let doubt = (*attribute == RuleBooleanAttribute::TlsWrapped).then(|| remarks.on(Subject::TlsWrapped));
                    Item::of(Yaml::one(&attribute.word().to_ascii_lowercase(), boolean(wanted))).with(doubt)
                }
                RuleBooleanToEvaluate::Analysis(analysis) => analyzed(analysis, "equals", boolean(wanted), names, remarks),
                RuleBooleanToEvaluate::IsInAddressList(test) => {
                    let list = test.address_lists.first().ok_or("it names no address list")?;
                    let key = test.attribute.word().to_ascii_lowercase();
                    let test_of = Yaml::one(&key, Yaml::one("in_list", Yaml::text(names.address_list(list))));
                    let doubt = !matches!(test.attribute, RuleAddressListAttribute::Recipient | RuleAddressListAttribute::MailFrom);
                    let doubt = doubt.then(|| remarks.on(Subject::HeaderAddress));
                    Item::of(if wanted { test_of } else { Yaml::one("not", test_of) }).with(doubt)
                }
            })
        }
        RuleCondition::NumberExpression(expression) => number(expression),
        RuleCondition::IpExpression(expression) => {
            let RuleIpToEvaluate::Attribute(_) = expression.evaluate;
            let (test, comment) = networks(expression.operator, &expression.values);
            Ok(Item::of(Yaml::one("source_ip", test)).with(comment))
        }
        RuleCondition::VerdictExpression(expression) => {
            let operator = equality_operator(expression.operator);
            let words: Vec<String> = expression.values.iter().map(|word| word.word().to_ascii_lowercase()).collect();
            Ok(match &expression.evaluate {
                RuleVerdictToEvaluate::Attribute(attribute) => {
                    let key = attribute.word().to_ascii_lowercase();
                    Item::of(Yaml::one(&key, Yaml::one(operator, Yaml::texts(&words)))).with([remarks.on(Subject::Verdict)])
                }
                RuleVerdictToEvaluate::Analysis(analysis) => analyzed(analysis, operator, Yaml::texts(&words), names, remarks),
            })
        }
        RuleCondition::DmarcExpression(expression) => {
            let mut words: Vec<String> = expression.values.iter().map(|word| word.word().to_ascii_lowercase()).collect();
            if expression.values.contains(&RuleDmarcPolicy::None) {
                words.push("absent".to_owned());
            }
            let test = Yaml::one(equality_operator(expression.operator), Yaml::texts(&words));
            Ok(Item::of(Yaml::one("dmarc_policy", test)).with([remarks.on(Subject::DmarcPolicy)]))
        }
    }
}

/// An operator of texts in our words.
pub(super) fn string_operator(operator: StringOperator) -> &'static str {
    match operator {
        StringOperator::Equals => "equals",
        StringOperator::NotEquals => "not_equals",
        StringOperator::StartsWith => "starts_with",
        StringOperator::EndsWith => "ends_with",
        StringOperator::Contains => "contains",
    }
}

fn equality_operator(operator: EqualityOperator) -> &'static str {
    match operator {
        EqualityOperator::Equals => "equals",
        EqualityOperator::NotEquals => "not_equals",
    }
}

/// `true` or `false`.
pub(super) fn boolean(value: bool) -> Yaml {
    Yaml::Plain(value.to_string())
}

/// A test of networks; bits behind the prefix are left out, with a comment.
pub(super) fn networks(operator: IpOperator, values: &[String]) -> (Yaml, Option<Comment>) {
    let key = match operator {
        IpOperator::CidrMatches => "cidr_matches",
        IpOperator::NotCidrMatches => "not_cidr_matches",
    };
    let plain: Vec<String> = values.iter().map(|value| network(value)).collect();
    let changed: Vec<&str> = values.iter().zip(&plain).filter(|(value, plain)| value != plain).map(|(value, _)| value.as_str()).collect();
    let comment = (!changed.is_empty())
        .then(|| Comment::remark(format!("Written {} there: bits behind the prefix are set, and do not count here.", changed.join(", "))));
    (Yaml::one(key, Yaml::texts(&plain)), comment)
}

/// What an add-on found.
pub(super) fn analyzed(analysis: &Analysis, operator: &str, values: Yaml, names: &mut Names, remarks: &mut Remarks) -> Item {
    let analyzer = names.analyzer(&analysis.analyzer);
    let fields = vec![
        Item::entry("analyzer", Yaml::text(analyzer)),
        Item::entry("field", Yaml::text(&analysis.result_field)),
        Item::entry(operator, values),
    ];
    Item::of(Yaml::one("analysis", Yaml::map(fields))).with([remarks.on(Subject::Analysis)])
}

/// The size is a whole number of octets here, and a double there.
fn number(expression: &RuleNumberExpression) -> Result<Item, String> {
    let RuleNumberToEvaluate::Attribute(_) = expression.evaluate;
    // Doubles hold whole numbers up to 2^53 exactly.
    let value = expression.value;
    if !(0.0..=9_007_199_254_740_992.0).contains(&value) {
        return Err(format!("{value} is no size"));
    }
    let (below, above) = (value.floor() as u64, value.ceil() as u64);
    let is_whole = below == above;
    let (operator, bound) = match expression.operator {
        RuleNumberOperator::Equals if is_whole => ("equals", below),
        RuleNumberOperator::NotEquals if is_whole => ("not_equals", below),
        RuleNumberOperator::Equals | RuleNumberOperator::NotEquals => return Err(format!("no message has {value} octets")),
        RuleNumberOperator::LessThan => ("less_than", above),
        RuleNumberOperator::GreaterThanOrEqual => ("greater_than_or_equal", above),
        RuleNumberOperator::GreaterThan => ("greater_than", below),
        RuleNumberOperator::LessThanOrEqual => ("less_than_or_equal", below),
    };
    let comment = (!is_whole).then(|| Comment::remark(format!("{} {value} there; sizes are whole numbers.", expression.operator.word())));
    Ok(Item::of(Yaml::one("message_size", Yaml::one(operator, size(bound)))).with(comment))
}
