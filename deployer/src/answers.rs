//! The answers of AWS in one round of reads: what several parts of a plan ask for is read once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use aws_sdk_cloudwatch::types::MetricAlarm;
use aws_sdk_iam::types::{AccessKeyMetadata, Role, User};
use aws_sdk_kms::types::KeyMetadata;
use aws_sdk_lambda::operation::get_function::GetFunctionOutput;
use aws_sdk_secretsmanager::operation::{
    describe_secret::DescribeSecretOutput, get_resource_policy::GetResourcePolicyOutput,
};
use aws_sdk_sesv2::operation::get_account::GetAccountOutput;
use aws_sdk_ssm::types::InstanceInformation;
use tokio::sync::OnceCell;

use crate::error::Error;

/// By the name of what was read. None: there is no such resource.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    pub(crate) secrets: Once<Option<DescribeSecretOutput>>,
    /// By the name of the secret.
    pub(crate) secret_policies: Once<Option<GetResourcePolicyOutput>>,
    pub(crate) users: Once<Option<User>>,
    pub(crate) roles: Once<Option<Role>>,
    pub(crate) functions: Once<Option<GetFunctionOutput>>,
    pub(crate) alarms: Once<Vec<MetricAlarm>>,
    pub(crate) access_keys: Once<Option<Vec<AccessKeyMetadata>>>,
    /// By the name of the user: ARNs.
    pub(crate) attached_user_policies: Once<Vec<String>>,
    pub(crate) kms_keys: Once<Option<KeyMetadata>>,
    pub(crate) instances: Once<Vec<InstanceInformation>>,
    pub(crate) ses: Once<GetAccountOutput>,
}

type Answer<T> = OnceCell<Result<T, Error>>;

/// Answers by the name of what was read.
#[derive(Debug)]
pub(crate) struct Once<T>(Mutex<HashMap<String, Arc<Answer<T>>>>);

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Once<T> {
    /// Reads, unless somebody did or does in this round.
    pub(crate) async fn get(&self, name: &str, read: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let cell = {
            let mut cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(cells.entry(name.to_owned()).or_default())
        };
        cell.get_or_init(|| read).await.clone()
    }
}

/// Answers for those who ask at the same moment: whoever asks while a read goes on gets its answer. The next one reads anew.
#[derive(Debug)]
pub(crate) struct Together<T>(Mutex<HashMap<String, Weak<Answer<T>>>>);

impl<T> Default for Together<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Together<T> {
    /// Reads, unless somebody does so now.
    pub(crate) async fn get(&self, name: &str, read: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let answer = {
            let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // An answer is dropped by the last one who waits for it.
            answers.get(name).and_then(Weak::upgrade).unwrap_or_else(|| {
                let answer = Arc::default();
                answers.insert(name.to_owned(), Arc::downgrade(&answer));
                answer
            })
        };
        answer.get_or_init(|| read).await.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn what_two_ask_for_at_once_is_read_once_and_each_gets_the_answer_or_the_error() {
        let (reads, once) = (Cell::new(0), Once::default());
        let read = |answer: Result<u8, Error>| {
            let reads = &reads;
            async move {
                tokio::task::yield_now().await;
                reads.set(reads.get() + 1);
                answer
            }
        };
        let both = tokio::join!(once.get("a", read(Ok(1))), once.get("a", read(Ok(2))));
        assert_eq!((both.0.unwrap(), both.1.unwrap(), reads.get()), (1, 1, 1));
        let together = Together::default();
        let both = tokio::join!(together.get("a", read(Ok(1))), together.get("a", read(Ok(2))));
        assert_eq!((both.0.unwrap(), both.1.unwrap(), reads.get()), (1, 1, 2));
        assert_eq!((together.get("a", read(Ok(3))).await.unwrap(), reads.get()), (3, 3), "nobody waited any more");
        reads.set(1);
        let failed = once.get("b", read(Err(Error::new("denied")))).await.unwrap_err();
        assert_eq!(failed.what, once.get("b", read(Ok(3))).await.unwrap_err().what);
        assert_eq!(reads.get(), 2);
    }
}
