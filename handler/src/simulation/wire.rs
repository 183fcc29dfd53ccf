//! Each call of the function: it takes a while, meets what was drawn for it, and takes effect in one instant.

use std::{borrow::Cow, sync::Arc};

use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture},
    orchestrator::{HttpRequest, HttpResponse},
};
use contract::AWSCURRENT;
use serde_json::{Value, json};

use super::{
    history::Fault,
    hosts::sleep,
    user::{By, State, User},
    world::{Sim, World},
};
use crate::{
    error::SmtpRefusal,
    fake_http::{Answer, Call},
    services::ses::fake::{self, Ses},
};

tokio::task_local! {
    /// The invocation that a call belongs to.
    pub(super) static INVOCATION: u32;
}

/// What a call meets.
enum Reply {
    Answer(u16, Answer),
    /// Nothing ever comes back.
    Silence,
}

impl HttpConnector for Sim {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let call = Call::of(&request);
        let invocation = INVOCATION.get();
        let sim = self.clone();
        HttpConnectorFuture::new(async move {
            let (there, back) = {
                let mut world = sim.world();
                (world.dice.between(5, 60), world.dice.between(5, 30))
            };
            sleep(there).await;
            let reply = sim.world().take(&sim, invocation, &call);
            match reply {
                Reply::Answer(status, answer) => {
                    sleep(back).await;
                    Ok::<HttpResponse, _>(call.response(status, answer))
                }
                Reply::Silence => std::future::pending().await,
            }
        })
    }
}

impl World {
    /// A call arrives.
    fn take(&mut self, sim: &Sim, invocation: u32, call: &Call) -> Reply {
        self.calls += 1;
        self.fire(&call.action);
        let fault = self.fault.take();
        if fault == Some(Fault::KilledBefore) {
            self.kill(invocation);
        }
        if self.invocations[invocation as usize].is_killed {
            return Reply::Silence;
        }
        self.acting = Some(invocation);
        let reply = self.take_effect(sim, invocation, call, fault);
        self.acting = None;
        reply
    }

    fn take_effect(&mut self, sim: &Sim, invocation: u32, call: &Call, fault: Option<Fault>) -> Reply {
        if let Some(reply) = self.refuses(fault, &call.action) {
            self.tell(|world| format!("{} {}: no answer of use", world.name(invocation), shown(call)));
            return reply;
        }
        if !is_read(&call.action) {
            self.tell(|world| format!("{} {}", world.name(invocation), shown(call)));
        }
        let answer = self.answer(sim, invocation, call);
        // That a version is empty, or a command not known yet, is no fault.
        if let Err(code) = answer
            && !["ResourceNotFoundException", "InvocationDoesNotExist"].contains(&code)
        {
            self.tell(|world| format!("{} {}: {code}", world.name(invocation), shown(call)));
        }
        match fault {
            Some(Fault::AnswerLost) => {
                self.tell(|_| "    its answer is lost".to_owned());
                return Reply::Answer(500, Err("InternalServiceError"));
            }
            Some(Fault::NoAnswer) => {
                self.tell(|_| "    its answer never comes".to_owned());
                return Reply::Silence;
            }
            Some(Fault::KilledAfter) => {
                self.kill(invocation);
                return Reply::Silence;
            }
            _ => {}
        }
        Reply::Answer(if answer.is_ok() { 200 } else { 400 }, answer)
    }

    /// What keeps a call from taking effect.
    fn refuses(&mut self, fault: Option<Fault>, action: &str) -> Option<Reply> {
        let now = self.now();
        match fault {
            Some(Fault::Refused) => return Some(Reply::Answer(400, Err("InvalidRequestException"))),
            Some(Fault::Unheard) => return Some(Reply::Silence),
            _ => {}
        }
        if now < self.spells.down {
            return Some(Reply::Answer(500, Err("InternalServiceError")));
        }
        if now < self.spells.throttled && self.dice.percent(70) {
            return Some(Reply::Answer(400, Err("ThrottlingException")));
        }
        let is_denied = now < self.spells.denied && action != "Publish";
        is_denied.then_some(Reply::Answer(400, Err("AccessDeniedException")))
    }

    pub(super) fn kill(&mut self, invocation: u32) {
        self.invocations[invocation as usize].is_killed = true;
        self.tell(|world| format!("{} is killed", world.name(invocation)));
    }

    pub(super) fn name(&self, invocation: u32) -> &str {
        &self.invocations[invocation as usize].name
    }

    fn answer(&mut self, sim: &Sim, invocation: u32, call: &Call) -> Answer {
        let body = &call.body;
        let text = |name: &str| body[name].as_str();
        let by = By::Function(invocation);
        let now = self.now();
        let key = text("AccessKeyId").unwrap_or_default();
        match call.action.as_str() {
            "DescribeSecret" => {
                let secret = self.read_secret();
                let (seen, answer) = (secret.seen, secret.describe());
                self.invocations[invocation as usize].seen = seen;
                answer
            }
            "GetSecretValue" => self.read_secret().get(text("VersionId"), text("VersionStage")),
            "ListSecretVersionIds" => self.read_secret().list(body["IncludeDeprecated"] == true),
            "PutSecretValue" => {
                let labels: Vec<&str> =
                    body["VersionStages"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                let token = text("ClientRequestToken").unwrap();
                self.secret.put(token, text("SecretString").unwrap(), &labels, now)?;
                self.is_changed();
                self.watch();
                Ok(json!({"VersionId": token}))
            }
            "UpdateSecretVersionStage" => {
                let label = text("VersionStage").unwrap();
                let to = text("MoveToVersionId");
                let before = self.current();
                self.secret.update_stage(label, text("RemoveFromVersionId"), to, now)?;
                self.is_changed();
                if label == AWSCURRENT {
                    self.current_is_moved(invocation, before.as_ref());
                }
                self.watch();
                Ok(json!({}))
            }
            "GetUser" => User::get(),
            "ListAttachedUserPolicies" => Ok("<AttachedPolicies/><IsTruncated>false</IsTruncated>".into()),
            "ListAccessKeys" => {
                let lag = self.lag_of_keys();
                self.invocations[invocation as usize].listed = now.saturating_sub(lag);
                self.user.list_keys(now, lag)
            }
            "GetAccessKeyLastUsed" => {
                let held = self.held_since(key);
                if self.user.key(key).is_none_or(|key| key.state == State::Deleted) {
                    return Err("AccessDenied");
                }
                self.user.last_used(key, held, now)
            }
            "CreateAccessKey" => {
                if self.user.is_full(now) {
                    return Err("LimitExceeded");
                }
                let key = self.make_key(false, by);
                let (id, secret) = (&key.id, &key.secret);
                let id = format!("<UserName>mail</UserName><AccessKeyId>{id}</AccessKeyId><Status>Active</Status>");
                let answer = format!("<AccessKey>{id}<SecretAccessKey>{secret}</SecretAccessKey></AccessKey>");
                self.is_changed();
                Ok(Value::String(answer))
            }
            "UpdateAccessKey" => {
                let state = if text("Status") == Some("Active") { State::Active } else { State::Inactive };
                self.set_key(invocation, key, state)
            }
            "DeleteAccessKey" => self.set_key(invocation, key, State::Deleted),
            "Publish" => {
                self.shows_no_secret("a message to the topic", text("Message").unwrap_or_default());
                Ok(Value::String("<MessageId>m-0</MessageId>".to_owned()))
            }
            "DescribeInstanceInformation" => self.instances(),
            "SendCommand" => self.send_command(sim, body),
            "GetCommandInvocation" => self.command(text("CommandId").unwrap(), text("InstanceId").unwrap()),
            other => panic!("{other} is not simulated"),
        }
    }

    /// UpdateAccessKey and DeleteAccessKey of the function.
    pub(super) fn set_key(&mut self, invocation: u32, key: &str, state: State) -> Answer {
        let now = self.now();
        if state == State::Deleted {
            self.key_is_to_be_deleted(invocation, key);
        }
        if !self.user.set(key, state, By::Function(invocation), now) {
            return Err("NoSuchEntity");
        }
        self.is_changed();
        self.key_is_set(invocation, key, state);
        self.watch();
        Ok(Value::String(String::new()))
    }
}

fn is_read(action: &str) -> bool {
    ["Get", "List", "Describe"].iter().any(|read| action.starts_with(read))
}

/// A call without what is secret or long.
fn shown(call: &Call) -> String {
    let fields = [
        "AccessKeyId",
        "Status",
        "VersionStage",
        "RemoveFromVersionId",
        "MoveToVersionId",
        "VersionStages",
        "VersionId",
    ];
    let field = |name: &str| match &call.body[name] {
        Value::Null => None,
        Value::String(text) => Some(Cow::from(text)),
        other => Some(Cow::from(other.to_string())),
    };
    let fields: Vec<_> = fields.iter().filter_map(|name| field(name)).collect();
    format!("{} {}", call.action, fields.join(" "))
}

/// SES, as the function meets it.
impl Ses for Sim {
    fn greet(&self) -> fake::Answer<'_> {
        Box::pin(async {
            sleep(20).await;
            let is_down = {
                let world = self.world();
                world.now() < world.spells.ses_down
            };
            if is_down { Err(refusal(None, "connection refused")) } else { Ok(()) }
        })
    }

    fn log_in<'a>(&'a self, user: &'a str, password: &'a str, sends: bool) -> fake::Answer<'a> {
        Box::pin(async move {
            sleep(80).await;
            let mut world = self.world();
            let now = world.now();
            if now < world.spells.ses_down {
                return Err(refusal(Some(421), "421 too many connections"));
            }
            if !world.user.is_accepted(user, password, now) {
                return Err(refusal(Some(535), "535 Authentication Credentials Invalid"));
            }
            world.user.is_used(user, now);
            if sends && now < world.spells.mail_refused {
                return Err(refusal(Some(552), "552 the mail is not taken"));
            }
            Ok(())
        })
    }
}

fn refusal(code: Option<u16>, text: &str) -> SmtpRefusal {
    SmtpRefusal { code, text: text.to_owned() }
}

/// The way to SES, for the clients.
pub(super) fn ses(sim: &Sim) -> Arc<dyn Ses> {
    Arc::new(sim.clone())
}
