//! Secrets Manager and IAM in memory, as far as createSecret and finishSecret use them, to test the order of calls and
//! lost answers in microseconds. Whether the services are like this is for the sandbox to tell.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use aws_sdk_iam::config::{BehaviorVersion, Credentials, Region};
use aws_smithy_runtime_api::{
    client::{
        http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn},
        orchestrator::{HttpRequest, HttpResponse},
    },
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use contract::{SecretValue, Settings, SmtpEndpoint};
use serde_json::{Value, json};

use crate::{
    aws::Clients,
    error::Error,
    event::{Request, Step},
    rotation::Rotation,
    secret::{self, AWSCURRENT, AWSPREVIOUS, Secret},
    sensitive::Sensitive,
    time::TimeLimit,
};

pub(crate) const ROTATION_TOKEN: &str = "rotation-token-of-the-event";

const ARN: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:mail-AbCd12";

/// What goes wrong with one action.
#[derive(Clone, Copy)]
pub(crate) enum Fault {
    /// It answers 400 and quotes the request.
    Refused,
    /// The first call answers that there were too many.
    ThrottledOnce,
    /// It takes effect and answers 500.
    AnswerLost,
    /// It answers 500 without effect.
    Down,
    /// Another invocation stores its own value under the token just before.
    Overtaken,
    /// It works as ever, and somebody moves a label just before.
    LabelMoved { to: &'static str, label: &'static str },
}

#[derive(Clone)]
pub(crate) struct FakeAws {
    state: Arc<Mutex<State>>,
    seconds: u64,
}

#[derive(Default)]
struct State {
    versions: BTreeMap<String, (Vec<String>, Option<String>)>,
    keys: Vec<(String, bool)>,
    used: Vec<String>,
    fault: Option<(&'static str, Fault)>,
    calls: Vec<String>,
}

type Answer = Result<Value, &'static str>;

impl FakeAws {
    pub(crate) fn new() -> Self {
        Self { state: Arc::default(), seconds: 300 }
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
        self.with(|state| state.used.push(key.into()))
    }

    pub(crate) fn fault(self, action: &'static str, fault: Fault) -> Self {
        self.with(|state| state.fault = Some((action, fault)))
    }

    pub(crate) fn seconds(self, seconds: u64) -> Self {
        Self { seconds, ..self }
    }

    /// Runs a part of a rotation whose token is `new`. Only the calls of that part are recorded.
    pub(crate) async fn rotate(
        &self,
        part: impl AsyncFn(&Rotation<'_>, &Secret) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let clients = self.clients();
        let settings = Settings {
            secret_arn_prefix: "arn:aws:secretsmanager:eu-west-1:123456789012:secret:mail".into(),
            iam_user_arn: "arn:aws:iam::123456789012:user/mail".into(),
            iam_user_owned: true,
            replaces: vec![],
            smtp_endpoint: SmtpEndpoint::of_region("eu-west-1"),
            test_mail: None,
            hosts: None,
            keep_previous: Duration::ZERO,
        };
        let request = Request {
            step: Step::Create,
            secret_arn: ARN.into(),
            token: "new".into(),
            rotation_token: Some(Sensitive::new(ROTATION_TOKEN)),
        };
        let time = TimeLimit::start(SystemTime::now() + Duration::from_secs(self.seconds));
        let secret = secret::describe(&clients, ARN).await?;
        self.state.lock().unwrap().calls.clear();
        part(&Rotation { clients: &clients, settings: &settings, request: &request, time }, &secret).await
    }

    fn clients(&self) -> Clients {
        let connector = SharedHttpConnector::new(self.clone());
        let http = http_client_fn(move |_, _| connector.clone());
        let credentials = Credentials::new("AKIA", "secret", None, None, "test");
        macro_rules! client {
            ($service:ident) => {
                $service::Client::from_conf(
                    $service::Config::builder()
                        .behavior_version(BehaviorVersion::latest())
                        .region(Region::new("eu-west-1"))
                        .credentials_provider(credentials.clone())
                        .http_client(http.clone())
                        .build(),
                )
            };
        }
        Clients { secrets: client!(aws_sdk_secretsmanager), iam: client!(aws_sdk_iam), ssm: client!(aws_sdk_ssm) }
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.state.lock().unwrap().calls.clone()
    }

    pub(crate) fn count(&self, action: &str) -> usize {
        self.calls().iter().filter(|call| *call == action).count()
    }

    pub(crate) fn labels(&self, version: &str) -> Vec<String> {
        self.state.lock().unwrap().versions[version].0.clone()
    }

    pub(crate) fn value(&self, version: &str) -> SecretValue {
        SecretValue::parse(self.state.lock().unwrap().versions[version].1.as_deref().unwrap()).unwrap()
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
        let fault = self.fault.filter(|(it, _)| *it == action).map(|(_, fault)| fault);
        match fault {
            Some(Fault::Refused) => return (400, Err("Refused")),
            Some(Fault::Down) => return (500, Err("InternalServiceError")),
            Some(Fault::ThrottledOnce) => {
                self.fault = None;
                return (400, Err("ThrottlingException"));
            }
            Some(Fault::Overtaken) => {
                let other = json!({"username": "mail", "AccessKeyId": "OTHER", "SMTPPassword": "other"});
                self.versions.get_mut(text("ClientRequestToken")).unwrap().1 = Some(other.to_string());
            }
            Some(Fault::LabelMoved { to, label }) => self.move_label(label, to),
            Some(Fault::AnswerLost) | None => {}
        }
        let answer = match action {
            "DescribeSecret" => Ok(self.describe()),
            "GetSecretValue" => self.get_value(text("VersionId")),
            "PutSecretValue" => self.put_value(body),
            "UpdateSecretVersionStage" => self.update_stage(body),
            _ => Ok(json!(self.iam(action, body))),
        };
        match (fault, answer) {
            (Some(Fault::AnswerLost), _) => (500, Err("InternalServiceError")),
            (_, answer) => (if answer.is_ok() { 200 } else { 400 }, answer),
        }
    }

    fn describe(&self) -> Value {
        let labels: BTreeMap<_, _> = self.versions.iter().map(|(id, (labels, _))| (id, labels)).collect();
        json!({"ARN": ARN, "RotationEnabled": true, "VersionIdsToStages": labels, "LastRotatedDate": 1_700_000_000})
    }

    fn get_value(&self, version: &str) -> Answer {
        let value = self.versions.get(version).and_then(|(_, value)| value.clone());
        let value = value.ok_or("ResourceNotFoundException")?;
        Ok(json!({"SecretString": value, "VersionId": version, "CreatedDate": 1_700_000_000}))
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
        let from = field("RemoveFromVersionId");
        if !self.versions[from].0.iter().any(|label| label == field("VersionStage")) {
            return Err("InvalidParameterException");
        }
        self.move_label(field("VersionStage"), field("MoveToVersionId"));
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
                    format!("<member><AccessKeyId>{id}</AccessKeyId><Status>{status}</Status></member>")
                };
                let members: String = self.keys.iter().map(member).collect();
                format!("<AccessKeyMetadata>{members}</AccessKeyMetadata><IsTruncated>false</IsTruncated>")
            }
            "GetAccessKeyLastUsed" => {
                let date = if self.used.iter().any(|it| it == key) {
                    "<LastUsedDate>2020-01-01T00:00:00Z</LastUsedDate>"
                } else {
                    ""
                };
                let place = "<ServiceName>ses</ServiceName><Region>eu-west-1</Region>";
                format!("<AccessKeyLastUsed>{date}{place}</AccessKeyLastUsed>")
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

impl State {
    /// The AWS JSON protocol, which Secrets Manager speaks.
    fn answer_json(&mut self, action: &str, request: &str) -> (u16, String) {
        let (status, answer) = self.answer(action, &serde_json::from_str(request).unwrap());
        let error = |code| json!({"__type": code, "message": format!("cannot take {request}")});
        (status, answer.unwrap_or_else(error).to_string())
    }

    /// The AWS query protocol, which IAM speaks.
    fn answer_xml(&mut self, request: &str) -> (u16, String) {
        let form: Value = request.split('&').filter_map(|pair| pair.split_once('=')).collect();
        let action = form["Action"].as_str().unwrap();
        let (status, answer) = self.answer(action, &form);
        let result = |result: Value| {
            let result = result.as_str().unwrap();
            format!("<{action}Response><{action}Result>{result}</{action}Result></{action}Response>")
        };
        let error = |code| format!("<ErrorResponse><Error><Code>{code}</Code></Error></ErrorResponse>");
        (status, answer.map_or_else(error, result))
    }
}

impl HttpConnector for FakeAws {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let text = std::str::from_utf8(request.body().bytes().unwrap()).unwrap();
        let mut state = self.state.lock().unwrap();
        let (status, body) = if let Some(target) = request.headers().get("x-amz-target") {
            state.answer_json(target.rsplit('.').next().unwrap(), text)
        } else {
            state.answer_xml(text)
        };
        HttpConnectorFuture::ready(Ok(HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::from(body))))
    }
}
