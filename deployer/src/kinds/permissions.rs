//! The statements in the function's resource policy: Secrets Manager may invoke it for this secret, EventBridge for this
//! rule, and nobody else. One kind for both, because AddPermission calls at the same time lose statements.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    aws::Aws,
    deployment::Deployment,
    deployment::facts::Facts,
    deployment::policy,
    engine::eventually::{CONSISTENT_WITHIN, eventually},
    engine::kind::{Address, Context, Kind, Op, Toward, Verb},
    error::{Error, FailedTo as _, absent_is_none},
};

pub(crate) struct Permissions(pub(crate) Arc<Deployment>);

/// A statement of ours.
#[derive(Clone)]
pub(crate) struct Statement {
    id: String,
    principal: &'static str,
    source_account: Option<String>,
    source_arn: String,
}

pub(crate) enum Call {
    Add(Statement),
    Remove(String),
}

impl Kind for Permissions {
    /// The function's statements.
    type Observed = Vec<Value>;
    type Call = Call;

    fn address(&self) -> Address {
        Address { kind: "permission", name: self.0.names.function.clone() }
    }

    async fn observe(&self, aws: &Aws) -> Result<Vec<Value>, Error> {
        let function = &self.0.names.function;
        let answer = aws.lambda.get_policy().function_name(function).send().await;
        let answer = answer.failed_to(|| format!("read the permissions of function {function}"));
        let text = absent_is_none(answer, &["ResourceNotFoundException"])?.and_then(|answer| answer.policy);
        let document = policy::parse(&text.unwrap_or_default());
        Ok(document["Statement"].as_array().cloned().unwrap_or_default())
    }

    fn decide(&self, toward: Toward, _: &Facts, observed: &Vec<Value>) -> Result<Vec<(Op, Call)>, Error> {
        let goals = self.goals();
        let find = |goal: &Statement| observed.iter().find(|statement| statement["Sid"] == *goal.id);
        let is_new = goals.iter().all(|goal| find(goal).is_none());
        let ops = goals.iter().flat_map(|goal| {
            let document = self.document(goal);
            let add = |verb| {
                let op = Op::new(verb, "lambda:AddPermission").sets("statement", document.clone());
                (op, Call::Add(goal.clone()))
            };
            let remove = |verb, from: &Value| {
                let op = Op::new(verb, "lambda:RemovePermission").with("statement", Some(from.clone()), None);
                (op, Call::Remove(goal.id.clone()))
            };
            match (toward, find(goal)) {
                (Toward::Absent { .. }, None) => Vec::new(),
                (Toward::Absent { .. }, Some(statement)) => vec![remove(Verb::Delete, statement)],
                (Toward::Present, None) => vec![add(if is_new { Verb::Create } else { Verb::Update })],
                (Toward::Present, Some(statement)) if *statement == document => Vec::new(),
                // A statement cannot be changed in place.
                (Toward::Present, Some(statement)) => vec![remove(Verb::Update, statement), add(Verb::Update)],
            }
        });
        Ok(ops.collect())
    }

    async fn run(&self, context: &Context, call: Call) -> Result<(), Error> {
        let (lambda, function) = (&context.aws.lambda, &self.0.names.function);
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
    fn goals(&self) -> [Statement; 2] {
        let names = &self.0.names;
        [
            Statement {
                id: names.secretsmanager_permission.clone(),
                principal: "secretsmanager.amazonaws.com",
                source_account: Some(names.account_id().to_owned()),
                source_arn: names.secret_arn_pattern(),
            },
            // The rule's ARN, unlike the secret's pattern, names one thing of one account.
            Statement {
                id: names.events_permission.clone(),
                principal: "events.amazonaws.com",
                source_account: None,
                source_arn: names.upkeep_arn(),
            },
        ]
    }

    /// As Lambda writes it.
    fn document(&self, statement: &Statement) -> Value {
        let mut document = json!({
            "Sid": statement.id,
            "Effect": "Allow",
            "Principal": {"Service": statement.principal},
            "Action": "lambda:InvokeFunction",
            "Resource": self.0.names.function_arn(),
            "Condition": {"ArnLike": {"AWS:SourceArn": statement.source_arn}},
        });
        if let Some(account) = &statement.source_account {
            document["Condition"]["StringEquals"] = json!({"AWS:SourceAccount": account});
        }
        policy::normalized(&document)
    }
}
