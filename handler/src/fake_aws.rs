//! Secrets Manager, IAM, Systems Manager and SNS in memory, as far as the steps use them, to test the order of calls and lost
//! answers in microseconds. Whether the services are like this is for the sandbox to tell.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture},
    orchestrator::HttpRequest,
};
use aws_smithy_types::{DateTime, date_time::Format};
use contract::{
    AWSCURRENT, AWSPENDING, AWSPREVIOUS, Consumer, Fields, Instances, SecretValue, Settings, SmtpEndpoint, Step,
    TAG_SECRET, TOLD, TestMail,
};
use serde_json::{Value, json};

use crate::{
    decide::told_hosts,
    error::Error,
    event::Request,
    fake_http::{self, Answer, Call},
    invocation::{Invocation, Rotation},
    sensitive::Sensitive,
    services::{
        aws::Clients,
        secret::{self, Secret, Version},
        ses::{
            Ses,
            fake::{Accepting, Count},
        },
    },
    time::{Clock, TimeLimit},
};

pub(crate) const ROTATION_TOKEN: &str = "rotation-token-of-the-event";

const ARN: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:mail-AbCd12";

/// Seconds of the epoch: when the secret was rotated, and when all is made that is not said to be made later.
pub(crate) const LONG_AGO: i64 = 1_700_000_000;

/// Seconds of the epoch: the last use of a key that was used before all that.
const BEFORE_THAT: i64 = 1_577_836_800;

/// Stands for no answer at all.
const NO_STATUS: u16 = 0;

/// What goes wrong with one action.
#[derive(Clone, Copy)]
pub(crate) enum Fault {
    /// It answers 400 and quotes the request.
    Refused,
    /// It answers 400 with this code.
    RefusedAs(&'static str),
    /// It never answers, and has no effect.
    Hangs,
    /// The first call answers that there were too many.
    ThrottledOnce,
    /// It takes effect and answers 500.
    AnswerLost,
    /// It answers 500 without effect.
    Down,
    /// Another invocation stores its own value, with this key, under the token just before.
    Overtaken { key: &'static str },
    /// It works as ever, and somebody deactivates a key just before.
    KeyDeactivated(&'static str),
    /// The first call works as ever, and somebody makes a key Active just before.
    KeyActivatedOnce(&'static str),
    /// It works as ever, and somebody uses a key just before.
    KeyUsed(&'static str),
    /// It works as ever, and somebody moves a label just before.
    LabelMoved { to: &'static str, label: &'static str },
}

#[derive(Clone)]
pub(crate) struct FakeAws {
    state: Arc<Mutex<State>>,
    settings: Settings,
    seconds: u64,
    ses: Accepting,
}

#[derive(Default)]
struct State {
    versions: BTreeMap<String, (Vec<String>, Option<String>)>,
    keys: Vec<(String, bool)>,
    /// A key and its last use, in seconds of the epoch.
    used: BTreeMap<String, i64>,
    serves: Option<&'static str>,
    next_rotation: Option<i64>,
    rotation_is_off: bool,
    quarantined: bool,
    /// What was made later than [`LONG_AGO`], and by how many seconds.
    made_later: BTreeMap<String, i64>,
    does_not_say_whether_rotation_is_on: bool,
    /// An action, how many calls of it go well before, and what goes wrong from then on.
    faults: Vec<(&'static str, usize, Fault)>,
    calls: Vec<String>,
    /// The forms of what was published.
    published: Vec<Value>,
}

impl FakeAws {
    pub(crate) fn new() -> Self {
        let settings = Settings {
            secret_arn_prefix: "arn:aws:secretsmanager:eu-west-1:123456789012:secret:mail".into(),
            iam_user_arn: "arn:aws:iam::123456789012:user/mail".into(),
            iam_user_owned: true,
            replaces: vec![],
            fields: Fields::default(),
            smtp_endpoint: SmtpEndpoint::of_region("eu-west-1"),
            test_mail: None,
            consumer: None,
            keep_previous: Duration::ZERO,
            keep_inactive: Duration::ZERO,
            topic_arn: None,
        };
        Self { state: Arc::default(), settings, seconds: 300, ses: Accepting::default() }
    }

    fn with(self, change: impl FnOnce(&mut State)) -> Self {
        change(&mut self.state.lock().unwrap());
        self
    }

    pub(crate) fn version(self, id: &str, labels: &[&str], key: &str) -> Self {
        let value = json!({"username": "mail", "AccessKeyId": key, "SMTPPassword": format!("password-of-{key}")});
        let labels = labels.iter().map(|&label| label.to_owned()).collect();
        self.with(|state| drop(state.versions.insert(id.into(), (labels, Some(value.to_string())))))
    }

    pub(crate) fn empty_version(self, id: &str, labels: &[&str]) -> Self {
        let labels = labels.iter().map(|&label| label.to_owned()).collect();
        self.with(|state| drop(state.versions.insert(id.into(), (labels, None))))
    }

    pub(crate) fn keys(self, keys: &[&str]) -> Self {
        self.with(|state| state.keys = keys.iter().map(|&key| (key.to_owned(), true)).collect())
    }

    pub(crate) fn inactive(self, key: &str) -> Self {
        self.with(|state| state.set_active(key, false))
    }

    pub(crate) fn used(self, key: &str) -> Self {
        self.used_at(key, BEFORE_THAT)
    }

    /// A key was used so many seconds ago.
    pub(crate) fn used_before(self, key: &str, seconds: u64) -> Self {
        let used = SystemTime::now() - Duration::from_secs(seconds);
        self.used_at(key, DateTime::from(used).secs())
    }

    pub(crate) fn used_at(self, key: &str, seconds: i64) -> Self {
        self.with(|state| {
            state.used.insert(key.into(), seconds);
        })
    }

    /// The user's tag is this, instead of what it should be.
    pub(crate) fn user_serves(self, secret: &'static str) -> Self {
        self.with(|state| state.serves = Some(secret))
    }

    /// The secret has a schedule, and its next rotation is then.
    pub(crate) fn next_rotation(self, seconds: i64) -> Self {
        self.with(|state| state.next_rotation = Some(seconds))
    }

    pub(crate) fn rotation_is_off(self) -> Self {
        self.with(|state| state.rotation_is_off = true)
    }

    /// AWS has found an access key of the user in public.
    pub(crate) fn quarantined(self) -> Self {
        self.with(|state| state.quarantined = true)
    }

    /// A version whose value is no JSON.
    pub(crate) fn malformed_version(self, id: &str, labels: &[&str]) -> Self {
        let labels = labels.iter().map(|&label| label.to_owned()).collect();
        self.with(|state| drop(state.versions.insert(id.into(), (labels, Some("hunter2".into())))))
    }

    pub(crate) fn keep_previous(mut self, keep_previous: Duration) -> Self {
        self.settings.keep_previous = keep_previous;
        self
    }

    pub(crate) fn keep_inactive(mut self, keep_inactive: Duration) -> Self {
        self.settings.keep_inactive = keep_inactive;
        self
    }

    /// One more label on a version.
    pub(crate) fn label(self, version: &str, label: &str) -> Self {
        self.with(|state| state.versions.get_mut(version).unwrap().0.push(label.into()))
    }

    /// These further fields of the secret are mapped: JSON.
    pub(crate) fn fields(mut self, json: &str) -> Self {
        self.settings.fields = serde_json::from_str(json).unwrap();
        self
    }

    /// A version has this further field.
    pub(crate) fn field(self, version: &str, name: &str, text: &str) -> Self {
        self.with(|state| {
            let value = state.versions.get_mut(version).unwrap().1.as_mut().unwrap();
            let mut fields: Value = serde_json::from_str(value).unwrap();
            fields[name] = text.into();
            *value = fields.to_string();
        })
    }

    pub(crate) fn referenced_user(mut self) -> Self {
        self.settings.iam_user_owned = false;
        self
    }

    /// SES refuses this password.
    pub(crate) fn refused_by_ses(mut self, password: &'static str) -> Self {
        self.ses = Accepting::but(password);
        self
    }

    pub(crate) fn topic(mut self) -> Self {
        self.settings.topic_arn = Some("arn:aws:sns:eu-west-1:123456789012:mail-rotation".into());
        self
    }

    pub(crate) fn no_topic(mut self) -> Self {
        self.settings.topic_arn = None;
        self
    }

    pub(crate) fn fault(self, action: &'static str, fault: Fault) -> Self {
        self.fault_after(0, action, fault)
    }

    pub(crate) fn fault_after(self, calls: usize, action: &'static str, fault: Fault) -> Self {
        self.with(|state| state.faults.push((action, calls, fault)))
    }

    /// A version or a key.
    pub(crate) fn made_later(self, what: &str, seconds: i64) -> Self {
        self.with(|state| {
            state.made_later.insert(what.into(), seconds);
        })
    }

    pub(crate) fn not_saying_whether_rotation_is_on(self) -> Self {
        self.with(|state| state.does_not_say_whether_rotation_is_on = true)
    }

    pub(crate) fn host(mut self) -> Self {
        self.settings.consumer = Some(Consumer::Instances(Instances {
            ids: vec!["i-0".into()],
            document: "mail-rotate-smtp".into(),
            script: "/usr/local/bin/rotate_smtp.sh".into(),
            timeout_seconds: 120,
            content_sha256: None,
        }));
        self
    }

    /// The host has confirmed the version that is labelled TOLD.
    pub(crate) fn confirmed(self) -> Self {
        let hosts = self.hosts_label();
        self.with(|state| {
            let told = state.versions.values_mut().map(|(labels, _)| labels);
            told.filter(|labels| labels.iter().any(|it| it == TOLD)).for_each(|labels| labels.push(hosts.clone()));
        })
    }

    pub(crate) fn sender(mut self, sender: &str) -> Self {
        self.settings.test_mail = Some(TestMail { sender: sender.into(), recipient: "b@example.com".into() });
        self
    }

    pub(crate) fn seconds(self, seconds: u64) -> Self {
        Self { seconds, ..self }
    }

    /// Runs a part of createSecret.
    pub(crate) async fn rotate(
        &self,
        part: impl AsyncFn(&Rotation<'_>, &Secret) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.take(Step::Create, part).await
    }

    /// Runs a part of a step of a rotation whose token is `new`. Only that part meets faults, and only its calls are
    /// recorded.
    pub(crate) async fn take(
        &self,
        step: Step,
        part: impl AsyncFn(&Rotation<'_>, &Secret) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.take_as("new", step, part).await
    }

    /// The same of another token.
    pub(crate) async fn take_as(
        &self,
        token: &str,
        step: Step,
        part: impl AsyncFn(&Rotation<'_>, &Secret) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let clients = self.clients();
        let request = Request {
            step,
            secret_arn: ARN.into(),
            token: token.into(),
            rotation_token: Some(Sensitive::new(ROTATION_TOKEN)),
        };
        let time = TimeLimit::start(Clock::System, SystemTime::now() + Duration::from_secs(self.seconds));
        let faults = std::mem::take(&mut self.state.lock().unwrap().faults);
        let secret = secret::describe(&clients, &self.settings, ARN).await?;
        self.state.lock().unwrap().calls.clear();
        self.state.lock().unwrap().faults = faults;
        let invocation = Invocation { clients: &clients, settings: &self.settings, time };
        part(&Rotation { invocation, request: &request }, &secret).await
    }

    /// Answers an event.
    pub(crate) async fn ask<T>(&self, event: impl AsyncFn(&Invocation<'_>) -> Result<T, Error>) -> Result<T, Error> {
        let clients = self.clients();
        let time = TimeLimit::start(Clock::System, SystemTime::now() + Duration::from_secs(self.seconds));
        event(&Invocation { clients: &clients, settings: &self.settings, time }).await
    }

    /// The label that says that the hosts of the settings have confirmed a version.
    pub(crate) fn hosts_label(&self) -> String {
        told_hosts::label_of(self.settings.consumer.as_ref())
    }

    /// What SES was asked, which accepts everything.
    pub(crate) fn asked_ses(&self) -> Count {
        self.ses.count()
    }

    fn clients(&self) -> Clients {
        fake_http::clients(self.clone(), Ses::Fake(Arc::new(self.ses.clone())))
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.state.lock().unwrap().calls.clone()
    }

    pub(crate) fn count(&self, action: &str) -> usize {
        self.calls().iter().filter(|call| *call == action).count()
    }

    /// The calls that change something.
    pub(crate) fn changes(&self) -> Vec<String> {
        let reads = ["Get", "List", "Describe"];
        self.calls().into_iter().filter(|call| !reads.iter().any(|read| call.starts_with(read))).collect()
    }

    /// What was published: subject and message, each encoded as a form's.
    pub(crate) fn published(&self) -> Vec<(String, String)> {
        let text = |form: &Value, field: &str| form[field].as_str().unwrap().to_owned();
        let state = self.state.lock().unwrap();
        state.published.iter().map(|form| (text(form, "Subject"), text(form, "Message"))).collect()
    }

    pub(crate) fn labels(&self, version: &str) -> Vec<String> {
        self.state.lock().unwrap().versions[version].0.clone()
    }

    pub(crate) fn value(&self, version: &str) -> SecretValue {
        SecretValue::parse(self.state.lock().unwrap().versions[version].1.as_deref().unwrap()).unwrap()
    }

    /// AWSCURRENT's version.
    pub(crate) fn current(&self) -> Version {
        let state = self.state.lock().unwrap();
        let is_current = |labels: &[String]| labels.iter().any(|label| label == AWSCURRENT);
        let (id, (_, value)) = state.versions.iter().find(|(_, (labels, _))| is_current(labels)).unwrap();
        let created = Duration::from_secs(state.made(id).try_into().unwrap());
        Version {
            value: SecretValue::parse(value.as_deref().unwrap()).unwrap(),
            created: Some(SystemTime::UNIX_EPOCH + created),
        }
    }

    pub(crate) fn active_keys(&self) -> Vec<String> {
        let state = self.state.lock().unwrap();
        state.keys.iter().filter(|(_, active)| *active).map(|(id, _)| id.clone()).collect()
    }
}

impl State {
    fn answer(&mut self, action: &str, body: &Value) -> (u16, Answer) {
        self.calls.push(action.to_owned());
        let text = |name: &str| body[name].as_str().unwrap_or_default();
        let calls = self.calls.iter().filter(|call| *call == action).count();
        let fault = self.faults.iter().position(|(it, after, _)| *it == action && calls > *after);
        let fault = fault.map(|index| (index, self.faults[index].2));
        match fault.map(|(_, fault)| fault) {
            Some(Fault::Refused) => return (400, Err("Refused")),
            Some(Fault::RefusedAs(code)) => return (400, Err(code)),
            Some(Fault::Hangs) => return (NO_STATUS, Err("nobody reads this")),
            Some(Fault::Down) => return (500, Err("InternalServiceError")),
            Some(Fault::ThrottledOnce) => {
                self.faults.remove(fault.unwrap().0);
                return (400, Err("ThrottlingException"));
            }
            Some(Fault::Overtaken { key }) => {
                let other = json!({"username": "mail", "AccessKeyId": key, "SMTPPassword": "other"});
                self.versions.get_mut(text("ClientRequestToken")).unwrap().1 = Some(other.to_string());
            }
            Some(Fault::LabelMoved { to, label }) => self.move_label(label, to),
            Some(Fault::KeyDeactivated(key)) => self.set_active(key, false),
            Some(Fault::KeyActivatedOnce(key)) => {
                self.faults.remove(fault.unwrap().0);
                self.set_active(key, true);
            }
            Some(Fault::KeyUsed(key)) => {
                self.used.insert(key.into(), DateTime::from(SystemTime::now()).secs());
            }
            Some(Fault::AnswerLost) | None => {}
        }
        let answer = match action {
            "DescribeSecret" => Ok(self.describe()),
            "GetSecretValue" => self.get_value(text("VersionId")),
            "ListSecretVersionIds" => Ok(self.list_versions()),
            "PutSecretValue" => self.put_value(body),
            "UpdateSecretVersionStage" => self.update_stage(body),
            "SendCommand" => Ok(json!({"Command": {"CommandId": "c-0"}})),
            "DescribeInstanceInformation" => {
                Ok(json!({"InstanceInformationList": [{"InstanceId": "i-0", "PingStatus": "Online"}]}))
            }
            "GetCommandInvocation" => Ok(json!({
                "Status": "Success", "StatusDetails": "Success", "ResponseCode": 0,
                "StandardOutputContent": format!("uses access key {}", self.host_uses()),
            })),
            _ => Ok(json!(self.iam(action, body))),
        };
        match (fault, answer) {
            (Some((_, Fault::AnswerLost)), _) => (500, Err("InternalServiceError")),
            (_, answer) => (if answer.is_ok() { 200 } else { 400 }, answer),
        }
    }

    /// The host has what it was told of, which is AWSPENDING's, or AWSCURRENT's if no rotation is open.
    fn host_uses(&self) -> String {
        let labelled = |label: &str| self.versions.values().find(|(labels, _)| labels.iter().any(|it| it == label));
        let value = labelled(AWSPENDING).or_else(|| labelled(AWSCURRENT)).and_then(|(_, value)| value.as_deref());
        value.map(|value| SecretValue::parse(value).unwrap().access_key_id).unwrap_or_default()
    }

    fn describe(&self) -> Value {
        let labelled = self.versions.iter().filter(|(_, (labels, _))| !labels.is_empty());
        let labels: BTreeMap<_, _> = labelled.map(|(id, (labels, _))| (id, labels)).collect();
        let rotation_enabled = (!self.does_not_say_whether_rotation_is_on).then_some(!self.rotation_is_off);
        json!({
            "ARN": ARN, "RotationEnabled": rotation_enabled, "VersionIdsToStages": labels, "LastRotatedDate": LONG_AGO,
            "RotationRules": self.next_rotation.map(|_| json!({"ScheduleExpression": "rate(30 days)", "Duration": "4h"})),
            "NextRotationDate": self.next_rotation,
        })
    }

    fn list_versions(&self) -> Value {
        let version = |(id, (labels, _)): (&String, &(Vec<String>, _))| json!({"VersionId": id, "VersionStages": labels, "CreatedDate": self.made(id)});
        json!({"Versions": self.versions.iter().map(version).collect::<Vec<_>>()})
    }

    fn made(&self, what: &str) -> i64 {
        LONG_AGO + self.made_later.get(what).unwrap_or(&0)
    }

    fn get_value(&self, version: &str) -> Answer {
        let value = self.versions.get(version).and_then(|(_, value)| value.clone());
        let value = value.ok_or("ResourceNotFoundException")?;
        Ok(json!({"SecretString": value, "VersionId": version, "CreatedDate": self.made(version)}))
    }

    fn put_value(&mut self, body: &Value) -> Answer {
        let token = body["ClientRequestToken"].as_str().unwrap();
        let value = body["SecretString"].as_str().unwrap();
        assert_eq!(body["RotationToken"], ROTATION_TOKEN);
        let version = self.versions.get_mut(token).unwrap();
        match &version.1 {
            Some(stored) if stored != value => return Err("ResourceExistsException"),
            _ => version.1 = Some(value.to_owned()),
        }
        for label in body["VersionStages"].as_array().unwrap() {
            self.move_label(label.as_str().unwrap(), token);
        }
        Ok(json!({}))
    }

    fn update_stage(&mut self, body: &Value) -> Answer {
        let field = |name: &str| body[name].as_str().unwrap();
        let label = field("VersionStage");
        let has_it = |labels: &[String]| labels.iter().any(|it| it == label);
        let place = self.versions.iter().find(|(_, (labels, _))| has_it(labels)).map(|(id, _)| id.as_str());
        if place != body["RemoveFromVersionId"].as_str() {
            return Err("InvalidParameterException");
        }
        match body["MoveToVersionId"].as_str() {
            Some(to) => self.move_label(label, to),
            None => self.versions.values_mut().for_each(|(labels, _)| labels.retain(|it| it != label)),
        }
        Ok(json!({}))
    }

    fn move_label(&mut self, label: &str, to: &str) {
        if self.versions[to].0.iter().any(|it| it == label) {
            return;
        }
        for (labels, _) in self.versions.values_mut() {
            let had_it = labels.iter().any(|it| it == label);
            labels.retain(|it| it != label);
            if had_it && label == AWSCURRENT {
                labels.push(AWSPREVIOUS.to_owned());
            }
        }
        self.versions.get_mut(to).unwrap().0.push(label.to_owned());
    }

    /// The result element's content.
    fn iam(&mut self, action: &str, body: &Value) -> String {
        let key = body["AccessKeyId"].as_str().unwrap_or_default();
        match action {
            "ListAccessKeys" => {
                let member = |(id, active): &(String, bool)| {
                    let status = if *active { "Active" } else { "Inactive" };
                    let date = DateTime::from_secs(self.made(id)).fmt(Format::DateTime).unwrap();
                    let date = format!("<CreateDate>{date}</CreateDate>");
                    format!("<member><AccessKeyId>{id}</AccessKeyId><Status>{status}</Status>{date}</member>")
                };
                let members: String = self.keys.iter().map(member).collect();
                format!("<AccessKeyMetadata>{members}</AccessKeyMetadata><IsTruncated>false</IsTruncated>")
            }
            "GetAccessKeyLastUsed" => {
                let date = self.used.get(key).map_or_else(String::new, |seconds| {
                    let date = DateTime::from_secs(*seconds).fmt(Format::DateTime).unwrap();
                    format!("<LastUsedDate>{date}</LastUsedDate>")
                });
                let place = "<ServiceName>ses</ServiceName><Region>eu-west-1</Region>";
                format!("<AccessKeyLastUsed>{date}{place}</AccessKeyLastUsed>")
            }
            "GetUser" => {
                let serves = self.serves.unwrap_or("eu-west-1/mail");
                let tag = format!("<member><Key>{TAG_SECRET}</Key><Value>{serves}</Value></member>");
                let name = "<UserName>mail</UserName><Path>/</Path><UserId>AIDA</UserId><Arn>arn</Arn>";
                format!("<User>{name}<CreateDate>2020-01-01T00:00:00Z</CreateDate><Tags>{tag}</Tags></User>")
            }
            "ListAttachedUserPolicies" => {
                let arn = "<PolicyArn>arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3</PolicyArn>";
                let members = if self.quarantined { format!("<member>{arn}</member>") } else { String::new() };
                format!("<AttachedPolicies>{members}</AttachedPolicies><IsTruncated>false</IsTruncated>")
            }
            "Publish" => {
                self.published.push(body.clone());
                "<MessageId>m-0</MessageId>".to_owned()
            }
            "CreateAccessKey" => {
                self.keys.push(("NEW".to_owned(), true));
                let id = "<UserName>mail</UserName><AccessKeyId>NEW</AccessKeyId><Status>Active</Status>";
                format!("<AccessKey>{id}<SecretAccessKey>secret-of-NEW</SecretAccessKey></AccessKey>")
            }
            "UpdateAccessKey" => {
                self.set_active(key, body["Status"] == "Active");
                String::new()
            }
            "DeleteAccessKey" => {
                self.keys.retain(|(id, _)| id != key);
                String::new()
            }
            _ => panic!("{action} is not expected here"),
        }
    }

    fn set_active(&mut self, key: &str, active: bool) {
        self.keys.iter_mut().filter(|(id, _)| id == key).for_each(|it| it.1 = active);
    }
}

impl fmt::Debug for FakeAws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeAws")
    }
}

impl HttpConnector for FakeAws {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let call = Call::of(&request);
        let (status, answer) = self.state.lock().unwrap().answer(&call.action, &call.body);
        if status == NO_STATUS {
            return HttpConnectorFuture::new(std::future::pending());
        }
        HttpConnectorFuture::ready(Ok(call.response(status, answer)))
    }
}
