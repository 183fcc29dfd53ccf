//! One run at a time: a lease that its holder renews, and that ends by itself within a minute of the holder's death.
//!
//! It is a parameter beside the record. How old it is, AWS's own clock tells: LastModifiedDate against the answer's Date header. Who
//! takes it is decided by the version that PutParameter answers, since Parameter Store has no compare-and-swap: whoever gets the
//! version after the one that it read. What the loser of two wrote says so itself, and is the lease of nobody.
//!
//! Correctness never depends on it. Two runs that ignore it converge, or end with "changed since the plan".

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_sdk_ssm::types::{ParameterTier, ParameterType};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{Intercept, context::BeforeDeserializationInterceptorContextRef, dyn_dispatch_hint},
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::{DateTime, config_bag::ConfigBag, date_time::Format};
use serde::{Deserialize, Serialize};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::{
    aws::Aws,
    deployment::record,
    engine::{
        events::Progress,
        tags::{self, Tags},
    },
    error::{Error, ErrorKind, FailedTo as _, absent_is_none},
};

/// A lease that was not renewed for so long is free.
const ENDS_AFTER: Duration = Duration::from_secs(45);
const RENEW_EVERY: Duration = Duration::from_secs(15);
const POLL_EVERY: Duration = Duration::from_secs(2);

/// Who runs what.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Holder {
    /// Random, and new for each run.
    pub(crate) id: String,
    /// ARN.
    pub(crate) who: String,
    /// The verb.
    pub(crate) runs: String,
    /// RFC 3339, UTC.
    pub(crate) since: String,
}

/// The parameter's value.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
struct Content {
    /// The version that this one was to follow, 0 for none. If it does not, its writer was not the first.
    after: i64,
    /// None: the lease was given up.
    holder: Option<Holder>,
}

/// The parameter, as it was read.
#[derive(Clone, Debug)]
struct Seen {
    version: i64,
    /// None if somebody else wrote something else.
    content: Option<Content>,
    /// By AWS's clock.
    age: Duration,
}

impl Seen {
    /// Whose lease it is, if that is known.
    fn holder(&self) -> Option<&Holder> {
        self.content.as_ref().filter(|content| content.after + 1 == self.version)?.holder.as_ref()
    }

    /// Whether it may be taken.
    fn is_free(&self) -> bool {
        let was_given_up = self.content.as_ref().is_some_and(|it| it.after + 1 == self.version && it.holder.is_none());
        was_given_up || self.age > ENDS_AFTER
    }
}

/// A lease that this run holds. It ends with [`Lease::give_up`], or by itself.
pub(crate) struct Lease {
    parameter: Parameter,
    held: Arc<Mutex<Held>>,
    renewal: JoinHandle<()>,
    /// Whether another run held it first, so that a plan from before is old.
    pub(crate) waited: bool,
}

/// What the renewal knows.
struct Held {
    /// The version that this run wrote last.
    version: i64,
    /// When that write began.
    written: Instant,
    /// Who took the lease, since it was not renewed in time.
    lost_to: Option<Holder>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

/// Takes the lease, and waits for it if another run holds it.
///
/// # Errors
/// It is still held after `timeout`, or AWS refuses a call.
pub(crate) async fn take(
    aws: &Aws,
    name: String,
    tags: &Tags,
    holder: Holder,
    timeout: Duration,
    progress: &Progress,
) -> Result<Lease, Error> {
    let parameter = Parameter { aws: aws.clone(), name, holder };
    let began = Instant::now();
    let mut told: Option<Option<Holder>> = None;
    loop {
        let seen = parameter.read().await?;
        let (is_free, written) = (seen.as_ref().is_none_or(Seen::is_free), Instant::now());
        if is_free && let Some(version) = parameter.try_to_take(seen.as_ref(), tags).await? {
            let held = Arc::new(Mutex::new(Held { version, written, lost_to: None }));
            let renewal = tokio::spawn(renew(parameter.clone(), Arc::clone(&held)));
            return Ok(Lease { parameter, held, renewal, waited: told.is_some() });
        }
        let holder = seen.filter(|_| !is_free).and_then(|seen| seen.holder().cloned());
        if began.elapsed() >= timeout {
            return Err(parameter.is_held(holder.as_ref(), timeout));
        }
        if told.as_ref() != Some(&holder) {
            progress.waiting(timeout.saturating_sub(began.elapsed()), &said(holder.as_ref()));
            told = Some(holder);
        }
        sleep(POLL_EVERY.min(timeout)).await;
    }
}

/// Whether there is a lease, whoever holds it.
pub(crate) async fn exists(aws: &Aws, name: &str) -> Result<bool, Error> {
    let answer = aws.ssm.get_parameter().name(name).send().await.failed_to(|| format!("read the lease {name}"));
    Ok(absent_is_none(answer, &["ParameterNotFound"])?.is_some())
}

fn said(holder: Option<&Holder>) -> String {
    match holder {
        Some(Holder { who, runs, since, .. }) => format!("{who} runs {runs} since {since}"),
        None => "another run has just taken it".to_owned(),
    }
}

/// Renews a lease until the task is aborted, or another run has it.
async fn renew(parameter: Parameter, held: Arc<Mutex<Held>>) {
    loop {
        sleep(RENEW_EVERY).await;
        // What fails is tried again: the lease lasts for three renewals.
        let Ok(Some(seen)) = parameter.read().await else { continue };
        if !parameter.is_ours(&seen, &held) {
            locked(&held).lost_to = seen.holder().cloned();
            return;
        }
        let (last, written) = (newer(&seen, &held), Instant::now());
        if let Ok(version) = parameter.put(last, Some(&parameter.holder), None).await {
            let mut held = locked(&held);
            (held.version, held.written) = (version, written);
        }
    }
}

/// The version of the parameter. What was read may be from before this run's last write.
fn newer(seen: &Seen, held: &Mutex<Held>) -> i64 {
    seen.version.max(locked(held).version)
}

fn locked(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lease {
    /// Who took the lease from this run, in words.
    pub(crate) fn lost_to(&self) -> Option<String> {
        locked(&self.held).lost_to.as_ref().map(|holder| said(Some(holder)))
    }

    /// Lets the next run begin. A failure is no error: the lease ends by itself.
    pub(crate) async fn give_up(self) {
        self.renewal.abort();
        let young = {
            let held = locked(&self.held);
            (held.lost_to.is_none() && held.written.elapsed() < RENEW_EVERY).then_some(held.version)
        };
        // Nobody takes a lease that was just written, so it need not be read. Only a run that lost against this one may have written
        // after it: then the version tells, and the lease is given up once more.
        if let Some(version) = young
            && self.parameter.put(version, None, None).await.is_ok_and(|now| now == version + 1)
        {
            return;
        }
        if let Some(version) = self.last_version().await {
            let _ = self.parameter.put(version, None, None).await;
        }
    }

    /// Deletes the parameter, with the deployment.
    pub(crate) async fn delete(self) -> Result<(), Error> {
        if self.last_version().await.is_none() {
            return Ok(());
        }
        record::delete_lease(&self.parameter.aws, &self.parameter.name).await
    }

    /// Ends the renewal. Returns the version if the lease is still this run's.
    async fn last_version(&self) -> Option<i64> {
        self.renewal.abort();
        let seen = self.parameter.read().await.ok()??;
        self.parameter.is_ours(&seen, &self.held).then(|| newer(&seen, &self.held))
    }
}

#[derive(Clone)]
struct Parameter {
    aws: Aws,
    name: String,
    /// This run.
    holder: Holder,
}

impl Parameter {
    /// Whether the lease is still this run's. What the loser of two wrote takes it from nobody.
    fn is_ours(&self, seen: &Seen, held: &Mutex<Held>) -> bool {
        seen.version == locked(held).version || seen.holder().is_none_or(|holder| holder.id == self.holder.id)
    }

    async fn read(&self) -> Result<Option<Seen>, Error> {
        let date = Date::default();
        let request = self.aws.ssm.get_parameter().name(&self.name).customize().interceptor(date.clone());
        let answer = request.send().await.failed_to(|| format!("read the lease {}", self.name));
        let Some(parameter) = absent_is_none(answer, &["ParameterNotFound"])?.and_then(|it| it.parameter) else {
            return Ok(None);
        };
        let (now, changed) = (date.get(), parameter.last_modified_date);
        // Without both dates it is young: then it is waited for.
        let age = now.zip(changed).map_or(0.0, |(now, changed)| now.as_secs_f64() - changed.as_secs_f64());
        Ok(Some(Seen {
            version: parameter.version,
            content: serde_json::from_str(&parameter.value.unwrap_or_default()).ok(),
            age: Duration::try_from_secs_f64(age).unwrap_or_default(),
        }))
    }

    /// Takes what was free as it was read. Returns the version if this run was the first.
    async fn try_to_take(&self, seen: Option<&Seen>, tags: &Tags) -> Result<Option<i64>, Error> {
        let after = seen.map_or(0, |seen| seen.version);
        match self.put(after, Some(&self.holder), seen.is_none().then_some(tags)).await {
            Ok(version) => Ok((version == after + 1).then_some(version)),
            Err(error) if ["ParameterAlreadyExists", "TooManyUpdates"].map(Some).contains(&error.code()) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes the parameter; with tags, a new one. Returns its version.
    async fn put(&self, after: i64, holder: Option<&Holder>, tags: Option<&Tags>) -> Result<i64, Error> {
        let content = Content { after, holder: holder.cloned() };
        // Its one map has texts as keys, so it always has a JSON form.
        let value = serde_json::to_string(&content).unwrap_or_default();
        let request = self.aws.ssm.put_parameter().name(&self.name).value(value).overwrite(tags.is_none());
        let request = request.r#type(ParameterType::String).tier(ParameterTier::Standard);
        let request = request.set_tags(tags.map(tags::of_systems_manager));
        let answer = request.send().await.failed_to(|| format!("write the lease {}", self.name));
        let answer = if tags.is_none() { answer.map_err(record::takes_no_tags) } else { answer };
        Ok(answer?.version)
    }

    fn is_held(&self, holder: Option<&Holder>, timeout: Duration) -> Error {
        Error::new(format!("another run holds the lease {}, also after {} s", self.name, timeout.as_secs()))
            .of_kind(ErrorKind::LeaseHeld)
            .cause(said(holder))
            .hint(
                "wait for its end, or longer with --lease-timeout. The lease of a run that was killed ends by itself within a \
                 minute: there is nothing to unlock",
            )
    }
}

/// The Date header of an answer.
#[derive(Clone, Debug, Default)]
struct Date(Arc<Mutex<Option<DateTime>>>);

impl Date {
    fn get(&self) -> Option<DateTime> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[dyn_dispatch_hint]
impl Intercept for Date {
    fn name(&self) -> &'static str {
        "Date"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|text| DateTime::from_str(text, Format::HttpDate).ok());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = date;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(id: &str) -> Holder {
        let text = str::to_owned;
        Holder { id: text(id), who: text("w"), runs: text("apply"), since: text("2026-01-01T00:00:00Z") }
    }

    fn seen(version: i64, after: i64, holder: Option<Holder>, age: u64) -> Seen {
        Seen { version, content: Some(Content { after, holder }), age: Duration::from_secs(age) }
    }

    #[test]
    fn a_lease_is_free_once_it_was_given_up_or_is_old() {
        assert!(!seen(2, 1, Some(holder("a")), 44).is_free());
        assert!(seen(2, 1, Some(holder("a")), 46).is_free());
        assert!(seen(2, 1, None, 0).is_free());
        let strange = Seen { version: 2, content: None, age: Duration::ZERO };
        assert!(!strange.is_free(), "what somebody else wrote is waited for");
        assert!(Seen { age: Duration::from_secs(46), ..strange }.is_free());
    }

    #[test]
    fn what_the_loser_of_two_wrote_is_nobodys_lease_and_not_free() {
        // Both read version 1. The winner wrote version 2, the loser version 3.
        let loser = seen(3, 1, Some(holder("loser")), 0);
        assert!(loser.holder().is_none() && !loser.is_free());
        assert_eq!(seen(2, 1, Some(holder("winner")), 0).holder(), Some(&holder("winner")));
        assert!(!seen(3, 1, None, 0).is_free(), "also if the loser gave it up");
    }
}
