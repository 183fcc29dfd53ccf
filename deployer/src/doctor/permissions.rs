//! What IAM says that somebody may do, without doing it.

use aws_sdk_iam::types::{ContextEntry, ContextKeyTypeEnum, EvaluationResult, PolicyEvaluationDecisionType};
use futures_util::future::try_join_all;
use serde::Serialize;

use crate::{
    aws::Aws,
    deployment::caller::Permission,
    error::{Error, ErrorKind, FailedTo as _},
    read_once,
};

/// What IAM's simulator says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Simulated {
    /// How many actions it was asked about.
    pub(crate) asked: usize,
    pub(crate) denied: Vec<Denied>,
}

/// An action that is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Denied {
    pub(crate) action: String,
    pub(crate) resource: String,
    pub(crate) by: DeniedBy,
}

/// What denies it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DeniedBy {
    /// No policy allows it.
    NoPolicy,
    /// A statement of a policy denies it.
    Statement,
    PermissionsBoundary,
    ServiceControlPolicy,
}

/// How many simulations run at once: IAM does not publish its rates.
const AT_ONCE: usize = 4;

/// The ARN whose policies IAM can simulate, for an ARN of GetCallerIdentity. None for the account's root user, whom no identity-based
/// policy limits, and for a federated user.
pub(crate) async fn principal(aws: &Aws, caller: &str) -> Option<String> {
    let Some((_, session)) = caller.split_once(":assumed-role/") else {
        return caller.contains(":user/").then(|| caller.to_owned());
    };
    // arn:PARTITION:sts::ACCOUNT:assumed-role/ROLE/SESSION has no path; the role's own ARN may have one.
    let role = session.split('/').next().unwrap_or_default();
    let named = read_once::role(aws, role).await.ok().flatten();
    let mut parts = caller.split(':');
    let (partition, account) = (parts.nth(1).unwrap_or_default(), parts.nth(2).unwrap_or_default());
    Some(named.map_or_else(|| format!("arn:{partition}:iam::{account}:role/{role}"), |role| role.arn))
}

/// Asks IAM about every action on every resource that has a name. Whether a pattern is allowed cannot be asked.
pub(crate) async fn simulate(aws: &Aws, principal: &str, permissions: &[Permission]) -> Result<Simulated, Error> {
    let asked: Vec<_> = permissions
        .iter()
        .flat_map(|permission| permission.examples().into_iter().map(move |resource| (permission, resource)))
        .collect();
    let mut simulated = Simulated::default();
    for some in asked.chunks(AT_ONCE) {
        let answers = some.iter().map(|(permission, resource)| one(aws, principal, permission, resource));
        for result in try_join_all(answers).await?.into_iter().flatten() {
            simulated.asked += 1;
            simulated.denied.extend(denied(&result));
        }
    }
    Ok(simulated)
}

async fn one(
    aws: &Aws,
    principal: &str,
    permission: &Permission,
    resource: &str,
) -> Result<Vec<EvaluationResult>, Error> {
    let actions = permission.actions.iter().map(|action| (*action).to_owned()).collect();
    let request = aws.iam.simulate_principal_policy().policy_source_arn(principal).set_action_names(Some(actions));
    let request = permission.context().into_iter().fold(request, |request, (key, value)| {
        let entry = ContextEntry::builder().context_key_name(key).context_key_values(value);
        request.context_entries(entry.context_key_type(ContextKeyTypeEnum::String).build())
    });
    let pages = request.resource_arns(resource).into_paginator().items().send().try_collect().await;
    pages.failed_to(|| format!("simulate the policies of {principal}")).map_err(|error| match error.kind() {
        ErrorKind::Denied => {
            error.hint("allow iam:SimulatePrincipalPolicy, which only doctor needs, or go without this check")
        }
        _ => error,
    })
}

fn denied(result: &EvaluationResult) -> Option<Denied> {
    let by = match &result.eval_decision {
        PolicyEvaluationDecisionType::Allowed => return None,
        _ if result.organizations_decision_detail.as_ref().is_some_and(|it| !it.allowed_by_organizations) => {
            DeniedBy::ServiceControlPolicy
        }
        _ if result
            .permissions_boundary_decision_detail
            .as_ref()
            .is_some_and(|it| !it.allowed_by_permissions_boundary) =>
        {
            DeniedBy::PermissionsBoundary
        }
        PolicyEvaluationDecisionType::ExplicitDeny => DeniedBy::Statement,
        _ => DeniedBy::NoPolicy,
    };
    let resource = result.eval_resource_name.clone().unwrap_or_default();
    Some(Denied { action: result.eval_action_name.clone(), resource, by })
}

#[cfg(test)]
mod tests {
    use aws_sdk_iam::types::{
        OrganizationsDecisionDetail, PermissionsBoundaryDecisionDetail,
        PolicyEvaluationDecisionType::{Allowed, ExplicitDeny, ImplicitDeny},
    };

    use super::*;

    #[test]
    fn a_denial_names_what_denies() {
        let result = |decision| {
            EvaluationResult::builder()
                .eval_action_name("iam:CreateRole")
                .eval_resource_name("r")
                .eval_decision(decision)
        };
        let by = |result| denied(&result).map(|denied| denied.by);
        assert_eq!(by(result(Allowed).build().unwrap()), None);
        assert_eq!(by(result(ImplicitDeny).build().unwrap()), Some(DeniedBy::NoPolicy));
        assert_eq!(by(result(ExplicitDeny).build().unwrap()), Some(DeniedBy::Statement));
        let boundary = PermissionsBoundaryDecisionDetail::builder().allowed_by_permissions_boundary(false).build();
        let limited = result(ImplicitDeny).permissions_boundary_decision_detail(boundary).build().unwrap();
        assert_eq!(by(limited), Some(DeniedBy::PermissionsBoundary));
        let organization = OrganizationsDecisionDetail::builder().allowed_by_organizations(false).build();
        let limited = result(ExplicitDeny).organizations_decision_detail(organization).build().unwrap();
        assert_eq!(by(limited), Some(DeniedBy::ServiceControlPolicy));
    }

    #[tokio::test]
    async fn the_policies_of_a_user_are_simulated_and_nobody_limits_the_root_user() {
        let user = "arn:aws:iam::123456789012:user/people/me";
        assert_eq!(principal(&Aws::offline(), user).await.as_deref(), Some(user));
        assert_eq!(principal(&Aws::offline(), "arn:aws:iam::123456789012:root").await, None);
    }
}
