//! The one way to AWS: credentials, region and endpoint as the environment and the profile say, with our time limits.
//!
//! Nothing is asked of AWS before the first call that needs it, so that a gateway without AWS never looks for an account.

use std::error::Error;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig};
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use tokio::sync::OnceCell;

use crate::limits::{AWS_CALL_TIMEOUT, AWS_CONNECT_TIMEOUT, AWS_ERROR_CHARACTERS_MAX};
use crate::message::one_line;

/// An account, as the standard chain finds it: environment, profile, web identity, container, instance.
#[derive(Debug, Default)]
pub struct Aws {
    config: OnceCell<SdkConfig>,
}

impl Aws {
    /// An account that is known already.
    pub fn from_config(config: SdkConfig) -> Self {
        Self { config: OnceCell::new_with(Some(config)) }
    }

    /// What clients are made from. A configuration without a region is good for whoever names one, and is looked for again the
    /// next time: an instance may learn its region later.
    pub(crate) async fn config(&self) -> SdkConfig {
        let found = self.config.get_or_try_init(|| async {
            let config = loader().load().await;
            if config.region().is_some() { Ok(config) } else { Err(config) }
        });
        found.await.cloned().unwrap_or_else(|without_region| without_region)
    }
}

/// What to say when a region is needed and none is known.
pub(crate) const NO_REGION: &str = "no AWS region is known; set AWS_REGION";

/// The standard chain with this gateway's time limits.
pub fn loader() -> ConfigLoader {
    let timeouts = TimeoutConfig::builder().connect_timeout(AWS_CONNECT_TIMEOUT).operation_timeout(AWS_CALL_TIMEOUT).build();
    aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts)
}

/// What went wrong, for an operator. Never the `Debug` of an SDK error: that holds the response, and a response may hold a secret.
pub(crate) fn describe<E: ProvideErrorMetadata + Error + 'static>(error: &SdkError<E>) -> String {
    let text = match error {
        SdkError::TimeoutError(_) => format!("no answer within {} s", AWS_CALL_TIMEOUT.as_secs()),
        SdkError::ResponseError(_) => "the answer was not understood".to_owned(),
        SdkError::ServiceError(answer) => {
            match (answer.err().code(), answer.err().message()) {
                (Some(code), Some(message)) => format!("{code}: {message}"),
                (Some(code), None) => code.to_owned(),
                // Not from AWS, but from a proxy or a balancer on the way.
                (None, _) => format!("HTTP status {}", answer.raw().status().as_u16()),
            }
        }
        // No response in these: the request was not made, or did not arrive.
        _ => causes(error),
    };
    one_line(&text, AWS_ERROR_CHARACTERS_MAX)
}

fn causes(error: &(impl Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
