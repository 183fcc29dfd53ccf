//! The role, and the instance role's policy, changed from outside.

use aws_sdk_iam::types::Tag;

use super::{Made, WIDE};
use crate::support::{
    deployed::Deployed,
    example::{INSTANCE_ROLE, REGION, ROLE, ROLE_POLICY},
};

pub(super) async fn trust_another_service(deployed: &Deployed) -> Made {
    let trust = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole",
        "Principal":{"Service":["lambda.amazonaws.com","ec2.amazonaws.com"]}}}"#;
    deployed.aws.iam.update_assume_role_policy().role_name(ROLE).policy_document(trust).send().await?;
    Ok(())
}

/// Puts an inline policy that allows everything.
pub(super) async fn put_policy(deployed: &Deployed, name: &str) -> Made {
    deployed.aws.iam.put_role_policy().role_name(ROLE).policy_name(name).policy_document(WIDE).send().await?;
    Ok(())
}

pub(super) async fn remove_policy(deployed: &Deployed) -> Made {
    deployed.aws.iam.delete_role_policy().role_name(ROLE).policy_name(ROLE_POLICY).send().await?;
    Ok(())
}

pub(super) async fn attach_policy(deployed: &Deployed) -> Made {
    let iam = &deployed.aws.iam;
    let created = iam.create_policy().policy_name("other").policy_document(WIDE).send().await?;
    let arn = created.policy.unwrap().arn.unwrap();
    iam.attach_role_policy().role_name(ROLE).policy_arn(arn).send().await?;
    Ok(())
}

pub(super) async fn tag(deployed: &Deployed, key: &str) -> Made {
    let tag = Tag::builder().key(key).value("x").build()?;
    deployed.aws.iam.tag_role().role_name(ROLE).tags(tag).send().await?;
    Ok(())
}

pub(super) async fn widen_instance_access(deployed: &Deployed) -> Made {
    let request = deployed.aws.iam.put_role_policy().role_name(INSTANCE_ROLE).policy_document(WIDE);
    request.policy_name(format!("mail-prod-read-secret-{REGION}")).send().await?;
    Ok(())
}
