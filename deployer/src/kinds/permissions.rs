//! The statements in the function's resource policy: Secrets Manager may invoke it for this secret, EventBridge for this rule,
//! and nobody else. A statement that is not ours is removed, as a policy on the role is.
//!
//! One resource for all, because AddPermission calls at the same time lose statements. A statement carries no tags: the policy is
//! the deployment's as a part of its own function.

use contract::{Command, Text, text};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    aws::Aws,
    deployment::policy,
    engine::{
        eventually::{CONSISTENT_WITHIN, eventually},
        kind::{Aim, Context, Kind, StopsRotations},
        op::{Address, Effect, Op, ResourceKind, Verb},
    },
    error::{Error, FailedTo as _, absent_is_none},
    read_once,
};

/// How the error begins that names the function which Secrets Manager may not invoke.
pub(crate) const MAY_NOT_INVOKE: &str = "Secrets Manager may not invoke function";

pub(crate) struct Permissions {
    pub(crate) function: String,
    pub(crate) function_arn: String,
    /// Ids of our statements.
    pub(crate) ids: [String; 2],
}

/// The principal that invokes the function for a rotation.
pub(crate) const SECRETS_MANAGER: &str = "secretsmanager.amazonaws.com";

/// A statement of ours.
#[derive(Clone, Serialize)]
pub(crate) struct Statement {
    pub(crate) id: String,
    pub(crate) principal: &'static str,
    pub(crate) source_account: Option<String>,
    pub(crate) source_arn: String,
}

pub(crate) enum Call {
    Add(Statement),
    Remove(String),
}

impl Kind for Permissions {
    type Goal = Vec<Statement>;
    /// The function's statements.
    type Observed = Vec<Value>;
    type Call = Call;

    const CONFLICTS: &'static [&'static str] = &["ResourceConflictException", "ResourceNotFoundException"];
    const EFFECTS: &'static [Effect] = &[Effect::DisturbsRotation];
    const STOPS_ROTATIONS: Option<StopsRotations<Self>> =
        Some(|it, goals, observed| it.stops_rotations(goals, observed));

    fn address(&self) -> Address {
        Address::new(ResourceKind::Permission, &self.function)
    }

    async fn observe(&self, aws: &Aws) -> Result<Vec<Value>, Error> {
        let function = &self.function;
        if read_once::lacks_function(aws, function).await? {
            return Ok(Vec::new());
        }
        let answer = aws.lambda.get_policy().function_name(function).send().await;
        let answer = answer.failed_to(|| format!("read the permissions of function {function}"));
        let text = absent_is_none(answer, &["ResourceNotFoundException"])?.and_then(|answer| answer.policy);
        let document = policy::parse(&text.unwrap_or_default());
        Ok(document["Statement"].as_array().cloned().unwrap_or_default())
    }

    /// AddPermission is refused if there is a statement of this id.
    fn absent(&self) -> Option<Self::Observed> {
        Some(Vec::new())
    }

    fn decide(&self, aim: Aim<'_, Vec<Statement>>, observed: &Vec<Value>) -> Result<Vec<(Op, Call)>, Error> {
        let find = |id: &String| observed.iter().find(|statement| statement["Sid"] == **id);
        Ok(match aim {
            Aim::Absent(_) => {
                let ours = self.ids.iter().filter_map(|id| Some((id, find(id)?)));
                ours.map(|(id, statement)| remove(Verb::Delete, id, statement)).collect()
            }
            Aim::Present(goals) => {
                let is_new = goals.iter().all(|goal| find(&goal.id).is_none());
                let add = if is_new { Verb::Create } else { Verb::Update };
                let strangers = self.strangers(observed).map(|(id, statement)| remove(Verb::Update, id, statement));
                strangers.chain(goals.iter().flat_map(|goal| self.statement_ops(goal, find(&goal.id), add))).collect()
            }
        })
    }

    fn note(&self, _: Option<&Vec<Statement>>, observed: &Vec<Value>) -> Option<Text> {
        let others: Vec<_> =
            self.strangers(observed).map(|(id, it)| format!("{} (statement {id})", it["Principal"])).collect();
        (!others.is_empty()).then(|| {
            let (function, others) = (&self.function, others.join(", "));
            format!(
                "besides Secrets Manager and EventBridge, the policy of function {function} lets others invoke it: {others}. \
                 apply removes these statements; find out who added them"
            )
            .into()
        })
    }

    async fn run(&self, context: &Context, call: Call) -> Result<(), Error> {
        let (lambda, function) = (&context.aws.lambda, &self.function);
        match call {
            Call::Add(Statement { id, principal, source_account, source_arn }) => {
                let not_there_yet = |error: &Error| error.code() == Some("ResourceNotFoundException");
                eventually(&context.progress, CONSISTENT_WITHIN, not_there_yet, || async {
                    let request = lambda.add_permission().function_name(function).statement_id(&id);
                    let request = request.action("lambda:InvokeFunction").principal(principal);
                    let request = request.set_source_account(source_account.clone()).source_arn(&source_arn);
                    request.send().await.failed_to(|| format!("let {principal} invoke function {function}")).map(drop)
                })
                .await
            }
            Call::Remove(id) => {
                let request = lambda.remove_permission().function_name(function).statement_id(&id);
                request.send().await.failed_to(|| format!("remove permission {id} of function {function}")).map(drop)
            }
        }
    }
}

impl Permissions {
    /// Statements that are not ours, by their ids.
    fn strangers<'a>(&'a self, observed: &'a [Value]) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let with_id = observed.iter().filter_map(|statement| Some((statement["Sid"].as_str()?, statement)));
        with_id.filter(|(id, _)| !self.ids.iter().any(|ours| ours == id))
    }

    /// The calls that lead from the observed statement to its goal.
    fn statement_ops(&self, goal: &Statement, observed: Option<&Value>, verb: Verb) -> Vec<(Op, Call)> {
        let document = self.document(goal);
        let add = |verb| {
            let op = Op::new(verb, "lambda:AddPermission").sets("statement", document.clone());
            (op, Call::Add(goal.clone()))
        };
        match observed {
            None => vec![add(verb)],
            Some(statement) if *statement == document => Vec::new(),
            // A statement cannot be changed in place.
            Some(statement) => vec![remove(Verb::Update, &goal.id, statement), add(Verb::Update)],
        }
    }

    /// Secrets Manager invokes the function for each step. The deployer, which asks the function for its report, needs no such permission.
    fn stops_rotations(&self, goals: &[Statement], observed: &[Value]) -> Option<Error> {
        let rotates = goals.iter().find(|goal| goal.principal == SECRETS_MANAGER)?;
        let ours = self.document(rotates);
        // Without our conditions it allows more.
        let lets = |it: &&Value| {
            let services = it["Principal"]["Service"].as_array();
            let is_it = services.is_some_and(|services| services.iter().any(|service| service == SECRETS_MANAGER));
            is_it && it["Effect"] == "Allow" && is_part_of(&it["Condition"], &ours["Condition"])
        };
        observed.iter().find(lets).is_none().then(|| {
            Error::new(format!("{MAY_NOT_INVOKE} {} for the secret", self.function))
                .hint(text![Command::deployer("apply"), " puts the permission back"])
        })
    }

    /// As Lambda writes it.
    pub(super) fn document(&self, statement: &Statement) -> Value {
        let mut document = json!({
            "Sid": statement.id,
            "Effect": "Allow",
            "Principal": {"Service": statement.principal},
            "Action": "lambda:InvokeFunction",
            "Resource": self.function_arn,
            "Condition": {"ArnLike": {"AWS:SourceArn": statement.source_arn}},
        });
        if let Some(account) = &statement.source_account {
            document["Condition"]["StringEquals"] = json!({"AWS:SourceAccount": account});
        }
        policy::normalized(&document)
    }
}

/// Whether all that `part` has is in `whole`, with the same values.
fn is_part_of(part: &Value, whole: &Value) -> bool {
    match part {
        Value::Null => true,
        Value::Object(fields) => fields.iter().all(|(field, value)| is_part_of(value, &whole[field])),
        other => other == whole,
    }
}

fn remove(verb: Verb, id: &str, statement: &Value) -> (Op, Call) {
    let op = Op::new(verb, "lambda:RemovePermission").with("statement", Some(statement.clone()), None);
    (op, Call::Remove(id.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_fails_without_the_permission_of_secrets_manager_and_not_without_that_of_the_rule() {
        let permissions =
            Permissions { function: "f".into(), function_arn: "arn:f".into(), ids: ["s".into(), "e".into()] };
        let statement = |id: &str, principal, source_account: Option<&str>| Statement {
            id: id.into(),
            principal,
            source_account: source_account.map(str::to_owned),
            source_arn: format!("arn:{id}"),
        };
        let goals = vec![statement("s", SECRETS_MANAGER, Some("1")), statement("e", "events.amazonaws.com", None)];
        let [ours, rules] = [0, 1].map(|at| permissions.document(&goals[at]));
        let stops = |observed: &[&Value]| {
            permissions.stops_rotations(&goals, &observed.iter().map(|it| (*it).clone()).collect::<Vec<_>>()).is_some()
        };
        let changed = |field: &str, to: Value| {
            let mut statement = ours.clone();
            statement[field] = to;
            statement
        };
        let wider = changed("Condition", json!({"StringEquals": {"AWS:SourceAccount": "1"}}));
        let narrower = changed("Condition", json!({"ArnLike": {"AWS:SourceArn": "arn:other"}}));
        assert!(!stops(&[&ours, &rules]) && !stops(&[&ours]) && !stops(&[&changed("Sid", json!("theirs"))]));
        assert!(!stops(&[&wider]) && !stops(&[&changed("Condition", Value::Null)]));
        assert!(stops(&[]) && stops(&[&rules]) && stops(&[&narrower]) && stops(&[&changed("Effect", json!("Deny"))]));
    }
}
