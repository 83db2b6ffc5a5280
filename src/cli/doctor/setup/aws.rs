//! What is to be set up at AWS: who may read the relay's secrets, and who may send by SES.

use serde_json::{Value, json};

use super::{Setup, Values};
use crate::config::Domains;
use crate::relay::{Auth, OAuthProof};
use crate::secrets::SecretRef;

/// A secret in Secrets Manager.
struct Secret {
    /// `arn:PARTITION:secretsmanager:REGION:ACCOUNT:secret:NAME-??????`; what is not known stands in capitals.
    arn: String,
    partition: String,
    region: String,
    account: String,
}

/// The policies for the secrets of a relay that are in Secrets Manager. `None`: there are none.
pub(super) fn secrets(values: &Values<'_>) -> Option<Setup> {
    let auth = match &values.relay.auth {
        Some(Auth::Password(place)) => Some(place),
        Some(Auth::OAuth(oauth)) => Some(match &oauth.proof {
            OAuthProof::Secret(place) | OAuthProof::Certificate(place) => place,
        }),
        None => None,
    };
    let places = auth.into_iter().chain(&values.relay.client_certificate);
    let secrets: Vec<Secret> = places
        .filter_map(|place| match place {
            SecretRef::SecretsManager(id) => Some(secret(id)),
            _ => None,
        })
        .collect();
    let first = secrets.first()?;
    let arns: Vec<&str> = secrets.iter().map(|secret| secret.arn.as_str()).collect();
    let reads_identities = values.snapshot.domains == Domains::Ses;
    let (role, resource, key) = (role_policy(first, &arns, reads_identities), resource_policy(first), key_policy(first, &arns));
    let text = format!(
        "KEY-ID is a customer-managed key: the AWS-managed one cannot be given away. ROLE is the role that the gateway runs under.
Replace what stands in capitals.

The policy of the role:

{role:#}

The resource policy of each secret (aws secretsmanager put-resource-policy --block-public-policy):

{resource:#}

The policy of the key:

{key:#}
"
    );
    Some(Setup { title: "To set up at AWS for the relay's secrets".to_owned(), text })
}

fn secret(id: &str) -> Secret {
    // arn:PARTITION:secretsmanager:REGION:ACCOUNT:secret:NAME
    let parts: Vec<&str> = id.splitn(7, ':').collect();
    if let ["arn", partition, "secretsmanager", region, account, "secret", name] = parts.as_slice() {
        return Secret {
            arn: format!("arn:{partition}:secretsmanager:{region}:{account}:secret:{}", with_suffix(name)),
            partition: (*partition).to_owned(),
            region: (*region).to_owned(),
            account: (*account).to_owned(),
        };
    }
    Secret {
        arn: format!("arn:aws:secretsmanager:REGION:ACCOUNT:secret:{id}-??????"),
        partition: "aws".to_owned(),
        region: "REGION".to_owned(),
        account: "ACCOUNT".to_owned(),
    }
}

/// Secrets Manager puts a hyphen and six characters behind each name; an ARN may be given without them.
fn with_suffix(name: &str) -> String {
    let suffix = name.rsplit_once('-').map(|(_, suffix)| suffix).unwrap_or_default();
    let is_whole = suffix.len() == 6 && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_whole { name.to_owned() } else { format!("{name}-??????") }
}

fn via(secret: &Secret) -> String {
    format!("secretsmanager.{}.amazonaws.com", secret.region)
}

fn role_policy(secret: &Secret, arns: &[&str], reads_identities: bool) -> Value {
    let Secret { partition, region, account, .. } = secret;
    let mut statements = vec![
        json!({
            "Sid": "ReadRelaySecrets",
            "Effect": "Allow",
            "Action": ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"],
            "Resource": arns,
        }),
        json!({
            "Sid": "DecryptOnlyThroughSecretsManager",
            "Effect": "Allow",
            "Action": "kms:Decrypt",
            "Resource": format!("arn:{partition}:kms:{region}:{account}:key/KEY-ID"),
            "Condition": {
                "StringEquals": { "kms:ViaService": via(secret) },
                "StringLike": { "kms:EncryptionContext:SecretARN": arns },
            },
        }),
    ];
    if reads_identities {
        statements.push(json!({
            "Sid": "ReadSesIdentities",
            "Effect": "Allow",
            "Action": ["ses:GetEmailIdentity", "ses:ListEmailIdentities"],
            "Resource": "*",
        }));
    }
    json!({ "Version": "2012-10-17", "Statement": statements })
}

fn role(secret: &Secret) -> String {
    format!("arn:{}:iam::{}:role/ROLE", secret.partition, secret.account)
}

fn resource_policy(secret: &Secret) -> Value {
    let role = role(secret);
    json!({
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "TheGatewayReads",
                "Effect": "Allow",
                "Principal": { "AWS": role },
                "Action": ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"],
                "Resource": "*",
            },
            {
                "Sid": "NobodyElseReads",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "secretsmanager:GetSecretValue",
                "Resource": "*",
                "Condition": { "StringNotEquals": { "aws:PrincipalArn": role } },
            },
        ],
    })
}

fn key_policy(secret: &Secret, arns: &[&str]) -> Value {
    let Secret { partition, account, .. } = secret;
    json!({
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "TheAccountAdministers",
                "Effect": "Allow",
                "Principal": { "AWS": format!("arn:{partition}:iam::{account}:root") },
                "Action": "kms:*",
                "Resource": "*",
            },
            {
                "Sid": "TheGatewayDecrypts",
                "Effect": "Allow",
                "Principal": { "AWS": role(secret) },
                "Action": "kms:Decrypt",
                "Resource": "*",
                "Condition": {
                    "StringEquals": { "kms:ViaService": via(secret), "kms:CallerAccount": account },
                    "StringLike": { "kms:EncryptionContext:SecretARN": arns },
                },
            },
        ],
    })
}

/// Sending by SMTP.
pub(super) fn ses(values: &Values<'_>) -> Setup {
    let host = values.relay.destination();
    let policy = json!({
        "Version": "2012-10-17",
        "Statement": [{ "Sid": "SendBySmtp", "Effect": "Allow", "Action": "ses:SendRawEmail", "Resource": "*" }],
    });
    let text = format!(
        "1. Verify each domain that sends as an identity of SES in the region of {host}; without that: 554 Message rejected.
2. Leave the sandbox of SES in that region, or recipients must be verified, too.
3. Make SMTP credentials (SES console, SMTP settings). They belong to an IAM user with this policy; keys of a role do not do:

{policy:#}

4. Put them into the relay's `auth` as {{\"username\": \"…\", \"password\": \"…\"}}.
5. For SPF alignment give each identity a custom MAIL FROM domain, with the records that SES shows for it. DKIM of SES is enough
   for DMARC.

SES takes up to 40 MB and 50 recipients a message, offers no SMTPUTF8, and overwrites Message-ID and Date: a signature of the
sender's over these does not survive.
"
    );
    Setup { title: "To set up at Amazon SES".to_owned(), text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_by_its_name_or_its_arn() {
        for (id, arn) in [
            ("gateway/exchange", "arn:aws:secretsmanager:REGION:ACCOUNT:secret:gateway/exchange-??????"),
            (
                "arn:aws:secretsmanager:eu-central-1:123456789012:secret:exchange-AbCdEf",
                "arn:aws:secretsmanager:eu-central-1:123456789012:secret:exchange-AbCdEf",
            ),
            (
                "arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:exchange",
                "arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:exchange-??????",
            ),
        ] {
            assert_eq!(secret(id).arn, arn);
        }
    }
}
