//! The function and its permissions, changed from outside.

use std::collections::HashMap;

use aws_sdk_lambda::{
    operation::update_function_configuration::builders::UpdateFunctionConfigurationFluentBuilder, primitives::Blob,
    types::Environment,
};

use super::Made;
use crate::support::{
    aws::{TRUST_OF_LAMBDA, zip_of},
    deployed::Deployed,
    example::{ACCOUNT, DOCUMENT, FUNCTION, FUNCTION_ARN},
};

fn configure(deployed: &Deployed) -> UpdateFunctionConfigurationFluentBuilder {
    deployed.aws.lambda.update_function_configuration().function_name(FUNCTION)
}

pub(super) async fn another_memory(deployed: &Deployed) -> Made {
    configure(deployed).memory_size(512).send().await?;
    Ok(())
}

pub(super) async fn another_timeout(deployed: &Deployed) -> Made {
    configure(deployed).timeout(3).send().await?;
    Ok(())
}

pub(super) async fn another_environment(deployed: &Deployed) -> Made {
    let variables = HashMap::from([("KEEP_PREVIOUS_SECONDS".to_owned(), "0".to_owned())]);
    let environment = Environment::builder().set_variables(Some(variables)).build();
    configure(deployed).environment(environment).send().await?;
    Ok(())
}

/// Hosts came in four variables before CONSUMER.
pub(super) async fn environment_of_before(deployed: &Deployed) -> Made {
    let configuration = deployed.aws.lambda.get_function_configuration().function_name(FUNCTION).send().await?;
    let mut variables = configuration.environment.and_then(|it| it.variables).unwrap_or_default();
    variables.remove("CONSUMER");
    let before = [
        ("INSTANCE_IDS", "i-0123456789abcdef0"),
        ("DOCUMENT", DOCUMENT),
        ("SCRIPT", "/usr/local/bin/rotate_smtp.sh"),
        ("SCRIPT_TIMEOUT_SECONDS", "120"),
    ];
    variables.extend(before.map(|(name, value)| (name.to_owned(), value.to_owned())));
    configure(deployed).environment(Environment::builder().set_variables(Some(variables)).build()).send().await?;
    Ok(())
}

pub(super) async fn more_retries(deployed: &Deployed) -> Made {
    let put = deployed.aws.lambda.put_function_event_invoke_config().function_name(FUNCTION);
    put.maximum_retry_attempts(2).send().await?;
    Ok(())
}

pub(super) async fn another_role(deployed: &Deployed) -> Made {
    let create = deployed.aws.iam.create_role().role_name("other").assume_role_policy_document(TRUST_OF_LAMBDA);
    create.send().await?;
    configure(deployed).role(format!("arn:aws:iam::{ACCOUNT}:role/other")).send().await?;
    Ok(())
}

pub(super) async fn another_code(deployed: &Deployed) -> Made {
    let zip = Blob::new(zip_of("#!/bin/sh\n"));
    deployed.aws.lambda.update_function_code().function_name(FUNCTION).zip_file(zip).send().await?;
    Ok(())
}

pub(super) async fn tag(deployed: &Deployed, key: &str) -> Made {
    deployed.aws.lambda.tag_resource().resource(FUNCTION_ARN).tags(key, "x").send().await?;
    Ok(())
}

pub(super) async fn remove_permission(deployed: &Deployed, statement: &str) -> Made {
    deployed.aws.lambda.remove_permission().function_name(FUNCTION).statement_id(statement).send().await?;
    Ok(())
}

/// Any secret's rotation may invoke the function.
pub(super) async fn widen_permission(deployed: &Deployed) -> Made {
    let statement = "mail-prod-secretsmanager";
    remove_permission(deployed, statement).await?;
    let request = deployed.aws.lambda.add_permission().function_name(FUNCTION).statement_id(statement);
    request.action("lambda:InvokeFunction").principal("secretsmanager.amazonaws.com").send().await?;
    Ok(())
}
