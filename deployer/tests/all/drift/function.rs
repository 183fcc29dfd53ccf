//! The function and its permissions, changed from outside.

use std::collections::HashMap;

use aws_sdk_lambda::{
    operation::update_function_configuration::builders::UpdateFunctionConfigurationFluentBuilder,
    primitives::Blob,
    types::{
        DeadLetterConfig, Environment, EphemeralStorage, FileSystemConfig, FunctionUrlAuthType,
        LayerVersionContentInput, LogFormat, LoggingConfig, TracingConfig, TracingMode, VpcConfig,
    },
};

use super::{Made, role};
use crate::support::{
    aws::{TRUST_OF_LAMBDA, zip_of},
    deployed::Deployed,
    example::{ACCOUNT, DOCUMENT, FUNCTION, FUNCTION_ARN, REGION},
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

/// The role may write to no other group, so that nothing is logged any more.
pub(super) async fn another_log_group(deployed: &Deployed) -> Made {
    let elsewhere = LoggingConfig::builder().log_format(LogFormat::Json).log_group("/team/x").build();
    configure(deployed).logging_config(elsewhere).send().await?;
    Ok(())
}

pub(super) async fn another_kms_key(deployed: &Deployed) -> Made {
    configure(deployed).kms_key_arn(format!("arn:aws:kms:{REGION}:{ACCOUNT}:key/theirs")).send().await?;
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

/// As the deployer tags the code that it uploads.
pub(super) async fn tag_code_as_uploaded(deployed: &Deployed) -> Made {
    let configuration = deployed.aws.lambda.get_function_configuration().function_name(FUNCTION).send().await?;
    let sha256 = configuration.code_sha256.unwrap_or_default();
    deployed.aws.lambda.tag_resource().resource(FUNCTION_ARN).tags("deployer:code-sha256", sha256).send().await?;
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

/// Code of somebody else's that runs in the function.
pub(super) async fn a_layer(deployed: &Deployed) -> Made {
    let content = LayerVersionContentInput::builder().zip_file(Blob::new(zip_of("#!/bin/sh\n"))).build();
    let publish = deployed.aws.lambda.publish_layer_version().layer_name("theirs").content(content);
    let layer = publish.send().await?.layer_version_arn.ok_or("the layer has no ARN")?;
    configure(deployed).layers(layer).send().await?;
    Ok(())
}

fn vpc() -> VpcConfig {
    VpcConfig::builder().subnet_ids("subnet-0123").security_group_ids("sg-0123").build()
}

/// For what reaches other services, Lambda asks for a role that may do so.
async fn with_wide_role(deployed: &Deployed, change: UpdateFunctionConfigurationFluentBuilder) -> Made {
    role::put_policy(deployed, "other").await?;
    change.send().await?;
    Ok(())
}

pub(super) async fn a_vpc(deployed: &Deployed) -> Made {
    with_wide_role(deployed, configure(deployed).vpc_config(vpc())).await
}

pub(super) async fn a_file_system(deployed: &Deployed) -> Made {
    let arn = format!("arn:aws:elasticfilesystem:{REGION}:{ACCOUNT}:access-point/fsap-0123456789abcdef0");
    let system = FileSystemConfig::builder().arn(arn).local_mount_path("/mnt/theirs").build()?;
    with_wide_role(deployed, configure(deployed).vpc_config(vpc()).file_system_configs(system)).await
}

/// A queue gets every event that failed.
pub(super) async fn a_dead_letter_target(deployed: &Deployed) -> Made {
    let queue = DeadLetterConfig::builder().target_arn(format!("arn:aws:sqs:{REGION}:{ACCOUNT}:theirs")).build();
    with_wide_role(deployed, configure(deployed).dead_letter_config(queue)).await
}

pub(super) async fn tracing(deployed: &Deployed) -> Made {
    let active = TracingConfig::builder().mode(TracingMode::Active).build();
    with_wide_role(deployed, configure(deployed).tracing_config(active)).await
}

pub(super) async fn more_storage(deployed: &Deployed) -> Made {
    configure(deployed).ephemeral_storage(EphemeralStorage::builder().size(1024).build()?).send().await?;
    Ok(())
}

/// Whoever knows the URL may invoke the function.
pub(super) async fn a_url(deployed: &Deployed) -> Made {
    let create = deployed.aws.lambda.create_function_url_config().function_name(FUNCTION);
    create.auth_type(FunctionUrlAuthType::None).send().await?;
    Ok(())
}

/// With a reserved concurrency of 0 nothing can invoke the function.
pub(super) async fn stop(deployed: &Deployed) -> Made {
    let put = deployed.aws.lambda.put_function_concurrency().function_name(FUNCTION);
    put.reserved_concurrent_executions(0).send().await?;
    Ok(())
}

pub(super) async fn code_signing(deployed: &Deployed) -> Made {
    let arn = format!("arn:aws:lambda:{REGION}:{ACCOUNT}:code-signing-config:csc-0123456789abcdef0");
    let put = deployed.aws.lambda.put_function_code_signing_config().function_name(FUNCTION);
    put.code_signing_config_arn(arn).send().await?;
    Ok(())
}

pub(super) async fn let_another_account_invoke(deployed: &Deployed) -> Made {
    let add = deployed.aws.lambda.add_permission().function_name(FUNCTION).statement_id("theirs");
    add.action("lambda:InvokeFunction").principal("999999999999").send().await?;
    Ok(())
}
