//! The statement in the function's resource policy that lets Secrets Manager invoke it, for this secret only.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    aws::Aws,
    error::{Error, FailedTo as _, absent_is_none},
    eventually::{CONSISTENT_WITHIN, eventually},
    facts::Facts,
    kind::{Address, Context, Kind, Op, Toward, Verb},
    policy,
    stack::Deployment,
};

pub(crate) struct Permissions(pub(crate) Arc<Deployment>);

pub(crate) enum Call {
    Add,
    Remove,
}

const PRINCIPAL: &str = "secretsmanager.amazonaws.com";

impl Permissions {
    /// As Lambda writes it.
    fn goal(&self) -> Value {
        let names = &self.0.names;
        policy::normalized(&json!({
            "Sid": names.permission,
            "Effect": "Allow",
            "Principal": {"Service": PRINCIPAL},
            "Action": "lambda:InvokeFunction",
            "Resource": names.function_arn(),
            "Condition": {
                "StringEquals": {"AWS:SourceAccount": names.account_id()},
                "ArnLike": {"AWS:SourceArn": names.secret_arn_pattern()},
            },
        }))
    }
}

impl Kind for Permissions {
    /// Our statement.
    type Observed = Option<Value>;
    type Call = Call;

    fn address(&self) -> Address {
        Address { kind: "permission", name: format!("{}/{}", self.0.names.function, self.0.names.permission) }
    }

    async fn observe(&self, aws: &Aws) -> Result<Option<Value>, Error> {
        let function = &self.0.names.function;
        let answer = aws.lambda.get_policy().function_name(function).send().await;
        let answer = answer.failed_to(|| format!("read the permissions of function {function}"));
        let Some(text) = absent_is_none(answer, &["ResourceNotFoundException"])?.and_then(|answer| answer.policy)
        else {
            return Ok(None);
        };
        let document = policy::parse(&text);
        let statements = document["Statement"].as_array().cloned().unwrap_or_default();
        Ok(statements.into_iter().find(|statement| statement["Sid"] == *self.0.names.permission))
    }

    fn decide(&self, toward: Toward, _: &Facts, observed: &Option<Value>) -> Result<Vec<(Op, Call)>, Error> {
        let goal = self.goal();
        let remove = |verb, from: &Value| {
            (Op::new(verb, "lambda:RemovePermission").with("statement", Some(from.clone()), None), Call::Remove)
        };
        let add = |verb| (Op::new(verb, "lambda:AddPermission").sets("statement", goal.clone()), Call::Add);
        Ok(match (toward, observed) {
            (Toward::Absent { .. }, None) => Vec::new(),
            (Toward::Absent { .. }, Some(statement)) => vec![remove(Verb::Delete, statement)],
            (Toward::Present, None) => vec![add(Verb::Create)],
            (Toward::Present, Some(statement)) if *statement == goal => Vec::new(),
            // A statement cannot be changed in place.
            (Toward::Present, Some(statement)) => vec![remove(Verb::Update, statement), add(Verb::Create)],
        })
    }

    async fn run(&self, context: &Context, call: Call) -> Result<(), Error> {
        let (lambda, names) = (&context.aws.lambda, &self.0.names);
        let (function, statement) = (&names.function, &names.permission);
        match call {
            Call::Add => {
                let not_there_yet = |error: &Error| error.code() == Some("ResourceNotFoundException");
                eventually(&context.progress, CONSISTENT_WITHIN, not_there_yet, || async {
                    let request = lambda.add_permission().function_name(function).statement_id(statement);
                    let request = request.action("lambda:InvokeFunction").principal(PRINCIPAL);
                    let request = request.source_account(names.account_id()).source_arn(names.secret_arn_pattern());
                    request
                        .send()
                        .await
                        .failed_to(|| format!("let Secrets Manager invoke function {function}"))
                        .map(drop)
                })
                .await
            }
            Call::Remove => {
                let request = lambda.remove_permission().function_name(function).statement_id(statement);
                request
                    .send()
                    .await
                    .failed_to(|| format!("remove permission {statement} of function {function}"))
                    .map(drop)
            }
        }
    }
}
