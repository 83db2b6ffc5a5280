//! Secrets of AWS Secrets Manager.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::{Builder, Region};
use zeroize::Zeroizing;

use super::Parse;
use crate::aws::{Aws, NO_REGION, describe};
use crate::limits::AWS_CALL_TIMEOUT;

/// The versions that may be asked for. AWSPENDING is not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// What counts now.
    Current,
    /// What counted before the last rotation.
    Previous,
}

/// One account's secrets, in any region.
#[derive(Default)]
pub(super) struct Manager {
    aws: Arc<Aws>,
    /// By region: a client keeps its connections and its credentials.
    clients: Mutex<HashMap<Region, Client>>,
}

impl Manager {
    pub(super) fn new(aws: Arc<Aws>) -> Self {
        Self { aws, clients: Mutex::default() }
    }

    /// One version of a secret; `None` when there is no such secret or version.
    pub(super) async fn fetch<T>(&self, id: &str, stage: Stage, parse: Parse<T>) -> Result<Option<T>, Arc<str>> {
        // The SDK's own limit does not cover the search for region and credentials. Its call has 12 KB of state, which every delivery and
        // every RCPT would carry about without the box, for they may need a secret.
        match tokio::time::timeout(AWS_CALL_TIMEOUT, Box::pin(self.ask(id, stage, parse))).await {
            Ok(result) => result,
            Err(_) => Err(format!("no answer within {} s", AWS_CALL_TIMEOUT.as_secs()).into()),
        }
    }

    async fn ask<T>(&self, id: &str, stage: Stage, parse: Parse<T>) -> Result<Option<T>, Arc<str>> {
        let stage = match stage {
            Stage::Current => "AWSCURRENT",
            Stage::Previous => "AWSPREVIOUS",
        };
        let answer = self.client(id).await?.get_secret_value().secret_id(id).version_stage(stage).send().await;
        let mut answer = match answer {
            Ok(answer) => answer,
            Err(error) if error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception()) => return Ok(None),
            Err(error) => return Err(describe(&error).into()),
        };
        // The text is wiped when it goes; the SDK's own buffers below it are out of reach.
        match (answer.secret_string.take(), answer.secret_binary) {
            (Some(json), _) => parse(&Zeroizing::new(json)).map(Some).map_err(Arc::from),
            (None, Some(_)) => Err("it is binary; a text with JSON is needed".into()),
            (None, None) => Err("it has no value".into()),
        }
    }

    async fn client(&self, id: &str) -> Result<Client, Arc<str>> {
        let config = self.aws.config().await;
        let region = match region_of_arn(id) {
            Some(region) => Region::new(region.to_owned()),
            None => config.region().cloned().ok_or(NO_REGION)?,
        };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let client = clients.entry(region).or_insert_with_key(|region| {
            let config = Builder::from(&config).region(region.clone()).build();
            Client::from_conf(config)
        });
        Ok(client.clone())
    }
}

/// `arn:PARTITION:secretsmanager:REGION:ACCOUNT:secret:NAME`; a bare name has no region of its own.
fn region_of_arn(id: &str) -> Option<&str> {
    let mut parts = id.split(':');
    let (arn, _partition, service, region) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    (arn == "arn" && service == "secretsmanager" && !region.is_empty()).then_some(region)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_names_its_region() {
        for (id, region) in [
            ("arn:aws:secretsmanager:eu-central-1:123456789012:secret:relay-AbCdEf", Some("eu-central-1")),
            ("arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:a", Some("cn-north-1")),
            ("relay", None),
            ("mailgw/relay", None),
            ("arn:aws:s3:eu-central-1:1:x", None),
            ("arn:aws:secretsmanager::1:secret:x", None),
            ("arn:aws:secretsmanager", None),
        ] {
            assert_eq!(region_of_arn(id), region, "{id}");
        }
    }
}
