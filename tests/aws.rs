//! Secrets and SES identities over real HTTP: against moto, which behaves like AWS, and against servers that do not.

mod common;

use std::sync::{Arc, Mutex, OnceLock};

use aws_config::{Region, SdkConfig};
use aws_sdk_secretsmanager::config::Credentials;
use common::canned_http::CannedHttp;
use common::moto::Moto;
use gateway::aws::Aws;
use gateway::config::Domains;
use gateway::domains::AcceptedDomains;
use gateway::secrets::{Claim, Credential, SecretRef, Secrets};

// ---- secrets ----

#[tokio::test]
async fn a_rotated_secret_is_followed_forwards_and_bridged_backwards() {
    let account = account(&moto().url(), "eu-west-1").await;
    let owner = aws_sdk_secretsmanager::Client::new(&account);
    owner.create_secret().name("relay/rotated").secret_string(json("first")).send().await.unwrap();
    let secret = named("relay/rotated");

    let sender = secrets(&account);
    let first = sender.get(&secret).await.unwrap();
    assert_eq!((first.username.as_str(), first.password.as_str()), ("relay", "first"));

    owner.put_secret_value().secret_id("relay/rotated").secret_string(json("second")).send().await.unwrap();
    assert_eq!(sender.get(&secret).await.unwrap(), first, "within its time a secret is not fetched again");
    let second = sender.after_refusal(&secret, &first).await.expect("the rotation is followed");
    assert_eq!(second.password.as_str(), "second");
    assert_eq!(sender.get(&secret).await.unwrap(), second);
    assert_eq!(sender.after_refusal(&secret, &second).await, None, "both versions are refused: nothing is tried again");

    // A gateway that starts after the rotation, before a next hop that has not followed it.
    let late = secrets(&account);
    assert_eq!(late.get(&secret).await.unwrap(), second);
    assert_eq!(late.after_refusal(&secret, &second).await, Some(Arc::clone(&first)));
    assert_eq!(late.get(&secret).await.unwrap(), first, "the one that works is tried first");
    assert_eq!(late.after_refusal(&secret, &first).await, None);
}

#[tokio::test]
async fn a_rotated_client_secret_is_bridged_backwards_and_rests_when_both_are_refused() {
    let account = account(&moto().url(), "eu-central-2").await;
    let owner = aws_sdk_secretsmanager::Client::new(&account);
    owner.create_secret().name("app/secret").secret_string("first").send().await.unwrap();
    owner.put_secret_value().secret_id("app/secret").secret_string(r#"{"client_secret": "second"}"#).send().await.unwrap();
    let (secret, secrets) = (named("app/secret"), secrets(&account));
    let second = secrets.client_secret(&secret).await.unwrap();
    assert_eq!(second.as_str(), "second");
    let first = secrets.client_secret_after_refusal(&secret, &second).await.expect("the version before");
    assert_eq!(first.as_str(), "first");
    assert_eq!(secrets.client_secret(&secret).await.unwrap(), first, "the one that works is tried first");
    assert_eq!(secrets.client_secret_after_refusal(&secret, &first).await, None);
    let error = secrets.client_secret(&secret).await.unwrap_err().to_string();
    assert!(error.starts_with("every version of it was refused; unless it changes it is tried again in "), "{error}");
}

#[tokio::test]
async fn a_pending_version_is_never_tried() {
    let account = account(&moto().url(), "eu-west-2").await;
    let owner = aws_sdk_secretsmanager::Client::new(&account);
    owner.create_secret().name("relay/pending").secret_string(json("current")).send().await.unwrap();
    let pending = owner.put_secret_value().secret_id("relay/pending").secret_string(json("pending")).version_stages("AWSPENDING");
    pending.send().await.unwrap();

    let (secret, secrets) = (named("relay/pending"), secrets(&account));
    let current = secrets.get(&secret).await.unwrap();
    assert_eq!(current.password.as_str(), "current");
    assert_eq!(secrets.after_refusal(&secret, &current).await, None);
}

#[tokio::test]
async fn what_boto3_calls_a_secret_is_one() {
    let arn = create_from_python("eu-west-3", "relay/boto3");

    // The ARN names another region than the account's.
    let secrets = secrets(&account(&moto().url(), "us-east-1").await);
    let credential = secrets.get(&named(&arn)).await.unwrap();
    assert_eq!(credential.password.as_str(), "pässwörd \"");
    let error = secrets.get(&named("relay/boto3")).await.unwrap_err();
    assert_eq!(error.to_string(), "secret relay/boto3: it does not exist", "a bare name is looked for in the account's region");
}

#[tokio::test]
async fn a_secret_of_another_shape_is_named_and_not_shown() {
    let account = account(&moto().url(), "eu-south-1").await;
    let owner = aws_sdk_secretsmanager::Client::new(&account);
    let secrets = secrets(&account);
    for (name, text, problem) in [
        ("plain", "hunter2", "it is not JSON"),
        ("extra", r#"{"username":"a","password":"hunter2","host":"hunter2"}"#, "it has a key besides username and password"),
        ("typed", r#"{"username":"a","password":17}"#, "its password is not a text"),
        ("empty", r#"{"username":"","password":"hunter2"}"#, "its username is empty"),
        ("twice", r#"{"username":"a","password":"hunter2","password":"hunter2"}"#, "it has password twice"),
    ] {
        owner.create_secret().name(name).secret_string(text).send().await.unwrap();
        assert_eq!(secrets.get(&named(name)).await.unwrap_err().to_string(), format!("secret {name}: {problem}"));
    }
    let binary = aws_sdk_secretsmanager::primitives::Blob::new(json("hunter2"));
    owner.create_secret().name("binary").secret_binary(binary).send().await.unwrap();
    let error = secrets.get(&named("binary")).await.unwrap_err();
    assert_eq!(error.to_string(), "secret binary: it is binary; a text with JSON is needed");
}

#[tokio::test]
async fn an_outage_leaves_the_last_credential_in_use_and_is_reported_once() {
    let own_moto = Moto::start();
    let account = account(&own_moto.url(), "eu-west-1").await;
    let owner = aws_sdk_secretsmanager::Client::new(&account);
    owner.create_secret().name("relay").secret_string(json("first")).send().await.unwrap();
    let reports = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&reports);
    let observer = move |report: &str| sink.lock().unwrap().push(report.to_owned());
    let secrets = Secrets::new(Arc::new(Aws::from_config(account.clone())), Some(Arc::new(observer)));
    let first = secrets.get(&named("relay")).await.unwrap();

    drop(own_moto);
    assert_eq!(secrets.after_refusal(&named("relay"), &first).await, None, "nothing else is known");
    assert!(secrets.get(&named("relay")).await.is_err(), "what was refused is not tried again at once, not even in an outage");
    secrets.accepted(&named("relay"));
    assert_eq!(secrets.get(&named("relay")).await.unwrap(), first);
    let reports = reports.lock().unwrap().clone();
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(reports[0].starts_with("secret relay: ") && reports[0].ends_with("; what was known before stays in use"), "{reports:?}");
}

#[tokio::test]
async fn a_secret_that_cannot_be_had_is_an_error_that_says_so_and_is_not_hammered() {
    let denied = r#"{"__type":"AccessDeniedException","Message":"not authorized to perform: secretsmanager:GetSecretValue"}"#;
    let server = CannedHttp::start(move |_, _| (400, denied.to_owned()));
    let secrets = secrets(&account(&server.url(), "eu-west-1").await);
    for _ in 0..50 {
        let error = secrets.get(&named("relay")).await.unwrap_err().to_string();
        assert_eq!(error, "secret relay: AccessDeniedException: not authorized to perform: secretsmanager:GetSecretValue");
    }
    // One at once; another after a second, should this machine be so slow.
    assert!(server.requests() <= 2, "{}", server.requests());
}

#[tokio::test]
async fn callers_at_the_same_time_ask_once() {
    let answer = format!(r#"{{"ARN":"a","Name":"relay","VersionId":"1","SecretString":{:?}}}"#, json("shared"));
    let server = CannedHttp::start(move |_, _| (200, answer.clone()));
    let secrets = Arc::new(secrets(&account(&server.url(), "eu-west-1").await));
    let callers: Vec<_> = (0..100)
        .map(|_| {
            let secrets = Arc::clone(&secrets);
            tokio::spawn(async move { secrets.get(&named("relay")).await })
        })
        .collect();
    let mut last = None;
    for caller in callers {
        last = Some(caller.await.unwrap().unwrap());
    }
    assert_eq!(server.requests(), 1);

    // The same when all of them are refused: one asks for the current version, and one for the previous one.
    let credential: Arc<Credential> = last.unwrap();
    let refused = (0..100).map(|_| {
        let (secrets, credential) = (Arc::clone(&secrets), Arc::clone(&credential));
        tokio::spawn(async move { secrets.after_refusal(&named("relay"), &credential).await })
    });
    for refused in refused.collect::<Vec<_>>() {
        assert_eq!(refused.await.unwrap(), None);
    }
    assert_eq!(server.requests(), 3);
}

#[tokio::test]
async fn an_error_that_is_not_of_aws_is_named_by_its_status() {
    let server = CannedHttp::start(|_, _| (502, "<html>hunter2</html>".to_owned()));
    let error = secrets(&account(&server.url(), "eu-west-1").await).get(&named("relay")).await.unwrap_err().to_string();
    assert_eq!(error, "secret relay: HTTP status 502");
}

#[tokio::test]
async fn an_answer_that_is_not_understood_is_not_repeated() {
    let server = CannedHttp::start(|_, _| (200, r#"{"SecretString":"hunter2","VersionId":hunter2}"#.to_owned()));
    let error = secrets(&account(&server.url(), "eu-west-1").await).get(&named("relay")).await.unwrap_err().to_string();
    assert!(error.starts_with("secret relay: ") && !error.contains("hunter2"), "{error}");
}

// ---- accounts: who may log in at an endpoint ----

#[tokio::test]
async fn both_versions_of_an_endpoints_secret_are_valid_and_a_pending_or_older_one_is_not() {
    let account = account(&moto().url(), "ap-south-1").await;
    let owner = aws_sdk_secretsmanager::Client::new(&account);
    owner.create_secret().name("submission").secret_string(json("first")).send().await.unwrap();
    let early = secrets(&account);
    let valid = |versions: gateway::secrets::AccountVersions| {
        ["first", "second", "third", "pending"].map(|password| versions.compare("relay", password, "mx").0 == Claim::Right)
    };
    assert_eq!(valid(early.accounts(&named("submission")).await.unwrap()), [true, false, false, false]);
    owner.put_secret_value().secret_id("submission").secret_string(json("second")).send().await.unwrap();
    assert_eq!(
        valid(early.accounts(&named("submission")).await.unwrap()),
        [true, false, false, false],
        "within its time it is not fetched again"
    );
    assert_eq!(valid(early.accounts_again(&named("submission")).await.unwrap()), [true, false, false, false], "nor for each wrong login");
    assert_eq!(valid(secrets(&account).accounts(&named("submission")).await.unwrap()), [true, true, false, false]);
    owner.put_secret_value().secret_id("submission").secret_string(json("third")).send().await.unwrap();
    let pending = owner.put_secret_value().secret_id("submission").secret_string(json("pending")).version_stages("AWSPENDING");
    pending.send().await.unwrap();
    assert_eq!(valid(secrets(&account).accounts(&named("submission")).await.unwrap()), [false, true, true, false]);
}

#[tokio::test]
async fn a_role_that_may_not_read_the_previous_version_lets_the_current_one_in_and_is_named_once() {
    let server = CannedHttp::start(|_, body| match body.contains("AWSPREVIOUS") {
        true => (400, r#"{"__type":"AccessDeniedException","Message":"not for AWSPREVIOUS"}"#.to_owned()),
        false => (200, format!(r#"{{"ARN":"a","Name":"submission","VersionId":"1","SecretString":{:?}}}"#, json("current"))),
    });
    let reports = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&reports);
    let observer = move |report: &str| sink.lock().unwrap().push(report.to_owned());
    let account = account(&server.url(), "eu-west-1").await;
    let secrets = Secrets::new(Arc::new(Aws::from_config(account)), Some(Arc::new(observer)));
    for _ in 0..20 {
        let versions = secrets.accounts(&named("submission")).await.unwrap();
        assert_eq!(versions.compare("relay", "current", "mx"), (Claim::Right, false));
        let versions = secrets.accounts_again(&named("submission")).await.unwrap();
        assert_eq!(versions.compare("relay", "other", "mx"), (Claim::WrongPassword, false));
    }
    assert_eq!(server.requests(), 2, "wrong logins are no storm of calls");
    let reports = reports.lock().unwrap().clone();
    let expected = "secret submission: the previous version cannot be had: AccessDeniedException: not for AWSPREVIOUS";
    assert_eq!(reports, [expected]);
}

// ---- SES identities ----

#[tokio::test]
async fn mail_is_taken_for_verified_domains_only() {
    let account = account(&moto().url(), "eu-central-1").await;
    let owner = aws_sdk_sesv2::Client::new(&account);
    for identity in ["acme.example", "person@other.example"] {
        owner.create_email_identity().email_identity(identity).send().await.unwrap();
    }
    let domains = AcceptedDomains::new(&Domains::Ses, Arc::new(Aws::from_config(account)), None);
    domains.prepare().await.unwrap();
    for (domain, accepted) in [
        ("acme.example", true),
        ("ACME.example", true),
        ("mail.acme.example", false),
        ("other.example", false),
        ("person@other.example", false),
        ("[127.0.0.1]", false),
        ("evil.example", false),
    ] {
        assert_eq!(domains.accepts(domain).await, Ok(accepted), "{domain}");
    }
}

#[tokio::test]
async fn a_flood_of_strange_domains_costs_no_calls() {
    let server = CannedHttp::start(|_, body| {
        // Two pages; the second is found through the token alone.
        let page = |name: &str, status: &str, next: &str| {
            format!(
                r#"{{"EmailIdentities":[{{"IdentityType":"DOMAIN","IdentityName":"{name}","SendingEnabled":false,"VerificationStatus":"{status}"}}]{next}}}"#
            )
        };
        match body.contains(r#""NextToken":"two""#) {
            false => (200, page("one.example", "SUCCESS", r#","NextToken":"two""#)),
            true => (200, page("two.example", "SUCCESS", "")),
        }
    });
    let aws = Arc::new(Aws::from_config(account(&server.url(), "eu-west-1").await));
    let domains = AcceptedDomains::new(&Domains::Ses, aws, None);
    for n in 0..10_000 {
        assert_eq!(domains.accepts(&format!("{n}.evil.example")).await, Ok(false));
    }
    assert_eq!(domains.accepts("one.example").await, Ok(true));
    assert_eq!(domains.accepts("two.example").await, Ok(true));
    assert_eq!(server.requests(), 2, "one listing");
}

#[tokio::test]
async fn an_account_that_cannot_be_listed_makes_no_yes_and_no_no() {
    let server = CannedHttp::start(|_, _| {
        (403, r#"{"__type":"AccessDeniedException","message":"not authorized to perform: ses:ListEmailIdentities"}"#.to_owned())
    });
    let aws = Arc::new(Aws::from_config(account(&server.url(), "eu-west-1").await));
    let domains = AcceptedDomains::new(&Domains::Ses, aws, None);
    let error = domains.prepare().await.unwrap_err().to_string();
    assert!(error.starts_with("list of SES identities: ") && error.contains("ses:ListEmailIdentities"), "{error}");
    assert!(domains.accepts("acme.example").await.is_err());
    assert_eq!(domains.accepts("[127.0.0.1]").await, Ok(false), "what needs no listing is answered all the same");
}

#[tokio::test]
async fn a_listing_without_end_is_given_up() {
    let server = CannedHttp::start(|_, _| (200, r#"{"EmailIdentities":[],"NextToken":"more"}"#.to_owned()));
    let aws = Arc::new(Aws::from_config(account(&server.url(), "eu-west-1").await));
    let domains = AcceptedDomains::new(&Domains::Ses, aws, None);
    assert_eq!(domains.prepare().await.unwrap_err().to_string(), "list of SES identities: it has no end");
}

// ---- the environment ----

#[test]
fn endpoint_region_and_credentials_come_from_the_environment() {
    let arn = create_from_python("eu-north-1", "relay/environment");
    let mut environment = vec![
        ("AWS_ENDPOINT_URL", moto().url()),
        ("AWS_REGION", "eu-north-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "x".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "x".to_owned()),
        ("GATEWAY_TEST_SECRET", json("of the environment")),
        ("GATEWAY_TEST_ARN", arn),
    ];
    run_alone("alone_with_region_and_credentials", &environment);
    environment.retain(|(variable, _)| *variable != "AWS_REGION");
    run_alone("alone_without_a_region", &environment);
    environment.retain(|(variable, _)| !variable.starts_with("AWS_ACCESS"));
    run_alone("alone_without_credentials", &environment);
}

/// Runs an ignored test of this file as a program of its own, since a test cannot change the environment of the others.
fn run_alone(test: &str, environment: &[(&str, String)]) {
    let nobody = common::temporary_folder();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored"])
        .env_clear()
        .env("HOME", nobody.path())
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .envs(environment.iter().map(|(variable, value)| (variable, value)))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
#[ignore = "run by endpoint_region_and_credentials_come_from_the_environment"]
async fn alone_with_region_and_credentials() {
    let secrets = Secrets::default();
    assert_eq!(secrets.get(&named("relay/environment")).await.unwrap().password.as_str(), "pässwörd \"");
    let variable = SecretRef::Environment("GATEWAY_TEST_SECRET".into());
    assert_eq!(secrets.get(&variable).await.unwrap().password.as_str(), "of the environment");
}

#[tokio::test]
#[ignore = "run by endpoint_region_and_credentials_come_from_the_environment"]
async fn alone_without_a_region() {
    let (secrets, domains) = (Secrets::default(), AcceptedDomains::new(&Domains::Ses, Arc::default(), None));
    let problem = "no AWS region is known; set AWS_REGION";
    let error = secrets.get(&named("relay/environment")).await.unwrap_err().to_string();
    assert_eq!(error, format!("secret relay/environment: {problem}"));
    assert_eq!(domains.prepare().await.unwrap_err().to_string(), format!("list of SES identities: {problem}"));
    let arn = std::env::var("GATEWAY_TEST_ARN").unwrap();
    assert!(secrets.get(&named(&arn)).await.is_ok(), "an ARN has a region of its own");
}

#[tokio::test]
#[ignore = "run by endpoint_region_and_credentials_come_from_the_environment"]
async fn alone_without_credentials() {
    let arn = std::env::var("GATEWAY_TEST_ARN").unwrap();
    let error = Secrets::default().get(&named(&arn)).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("secret {arn}: ")) && error.contains("credentials"), "{error}");
}

// ---- helpers ----

/// One moto for all tests of this file; each test has a region to itself.
fn moto() -> &'static Moto {
    static MOTO: OnceLock<Moto> = OnceLock::new();
    MOTO.get_or_init(Moto::start)
}

/// Makes a secret as its owner would, with boto3; gives its ARN.
fn create_from_python(region: &str, name: &str) -> String {
    let script = "
import boto3, json, sys
url, region, name = sys.argv[1:]
client = boto3.client('secretsmanager', endpoint_url=url, region_name=region, aws_access_key_id='x', aws_secret_access_key='x')
secret = json.dumps({'username': 'relay', 'password': 'pässwörd \"'})
print(client.create_secret(Name=name, SecretString=secret)['ARN'], end='')
";
    let output = common::tool("python").args(["-c", script, &moto().url(), region, name]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

async fn account(url: &str, region: &'static str) -> SdkConfig {
    let credentials = Credentials::new("test", "test", None, None, "test");
    gateway::aws::loader().endpoint_url(url).region(Region::new(region)).credentials_provider(credentials).load().await
}

fn secrets(account: &SdkConfig) -> Secrets {
    Secrets::new(Arc::new(Aws::from_config(account.clone())), None)
}

fn named(id: &str) -> SecretRef {
    SecretRef::SecretsManager(id.into())
}

fn json(password: &str) -> String {
    format!(r#"{{"username":"relay","password":"{password}"}}"#)
}
