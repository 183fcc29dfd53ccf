//! What IAM says that somebody may do, without doing it.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_iam::types::{
    ContextEntry, ContextKeyTypeEnum, EvaluationResult, PolicyEvaluationDecisionType, ResourceSpecificResult,
};
use futures_util::future::try_join_all;
use serde::Serialize;

use contract::Text;

use crate::{
    aws::Aws,
    deployment::{
        caller::{self, Permission},
        names::Names,
    },
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
    /// Condition keys that a policy names and IAM was not told: with their values, IAM may decide otherwise.
    pub(crate) unknown_keys: BTreeSet<String>,
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

/// What helps against a service control policy.
pub(crate) fn ask_the_organisation(action: &str) -> Text {
    format!("ask whoever runs the organisation to allow {action} in this account").into()
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

/// Asks IAM about every action on every resource that has a name. Whether a pattern is allowed cannot be asked. `tags`: those of a request
/// that makes something.
pub(crate) async fn simulate(
    aws: &Aws,
    principal: &str,
    permissions: &[Permission],
    tags: &BTreeMap<String, String>,
) -> Result<Simulated, Error> {
    let asked: Vec<_> = permissions.iter().flat_map(|permission| questions(permission, tags)).collect();
    let (mut pairs, mut all_denied) = (BTreeSet::new(), Vec::new());
    for some in asked.chunks(AT_ONCE) {
        let answers = some.iter().map(|question| ask(aws, principal, question));
        for result in try_join_all(answers).await?.into_iter().flatten() {
            pairs.insert((result.eval_action_name.clone(), result.eval_resource_name.clone()));
            all_denied.extend(denied(&result));
        }
    }
    // An action may be asked about twice, in two sorts of request.
    Ok(Simulated { asked: pairs.len(), denied: all_denied })
}

/// Why a user may not send as this address: none if one of the identities that would let it send allows it.
pub(crate) async fn sending(aws: &Aws, principal: &str, send: &Permission) -> Result<Option<Denied>, Error> {
    let (actions, context) = (send.actions.clone(), of_strings(send.context()));
    let results = ask(aws, principal, &Question { actions, resources: send.resources.clone(), context }).await?;
    // One that is allowed is enough.
    let denials: Option<Vec<_>> = results.iter().map(denied).collect();
    Ok(denials.unwrap_or_default().into_iter().next())
}

/// Whether the instances' role may read the secret; none if there is no such role.
pub(crate) async fn of_instance_role(aws: &Aws, role: &str, names: &Names) -> Result<Option<Simulated>, Error> {
    let Some(role) = read_once::role(aws, role).await? else { return Ok(None) };
    simulate(aws, &role.arn, &[caller::of_instance(names)], &BTreeMap::new()).await.map(Some)
}

/// What one call asks.
struct Question {
    actions: Vec<&'static str>,
    resources: Vec<String>,
    /// Condition keys with their values.
    context: Vec<ContextEntry>,
}

/// One question per resource and sort of request: accounts that demand tags refuse a request without them, and a policy may allow only a
/// request that has some.
fn questions(permission: &Permission, tags: &BTreeMap<String, String>) -> Vec<Question> {
    let (tagging, others): (Vec<_>, Vec<_>) = permission.actions.iter().partition(|action| caller::has_tags(action));
    let overwriting = permission.actions.iter().copied().filter(|action| *action == PUT_PARAMETER).collect();
    let context = of_strings(permission.context());
    let with = |more: Vec<ContextEntry>| context.iter().cloned().chain(more).collect::<Vec<_>>();
    let overwrite = |overwrites: bool| of_strings(vec![("ssm:Overwrite".to_owned(), overwrites.to_string())]);
    let makes_a_parameter = if tagging.contains(&PUT_PARAMETER) { overwrite(false) } else { Vec::new() };
    let of_new = of_tags(tags).into_iter().chain(makes_a_parameter).collect();
    let groups = [(tagging, with(of_new)), (others, context.clone()), (overwriting, with(overwrite(true)))];
    let groups = groups.into_iter().filter(|(actions, _)| !actions.is_empty());
    let of_group = |(actions, context): (Vec<&'static str>, Vec<ContextEntry>)| {
        let question =
            move |resource| Question { actions: actions.clone(), resources: vec![resource], context: context.clone() };
        permission.examples().into_iter().map(question).collect::<Vec<_>>()
    };
    groups.flat_map(of_group).collect()
}

/// It makes a parameter, and then has tags. Or it overwrites one, and then takes none (API reference of PutParameter).
const PUT_PARAMETER: &str = "ssm:PutParameter";

fn of_strings(context: Vec<(String, String)>) -> Vec<ContextEntry> {
    let entry = |(key, value)| {
        let entry = ContextEntry::builder().context_key_name(key).context_key_values(value);
        entry.context_key_type(ContextKeyTypeEnum::String).build()
    };
    context.into_iter().map(entry).collect()
}

/// Condition keys that a request with tags has (IAM guide, "AWS global condition context keys").
fn of_tags(tags: &BTreeMap<String, String>) -> Vec<ContextEntry> {
    let each = tags.iter().map(|(key, value)| (format!("aws:RequestTag/{key}"), value.clone())).collect();
    let keys = ContextEntry::builder().context_key_name("aws:TagKeys").context_key_type(ContextKeyTypeEnum::StringList);
    let keys = keys.set_context_key_values(Some(tags.keys().cloned().collect())).build();
    of_strings(each).into_iter().chain((!tags.is_empty()).then_some(keys)).collect()
}

async fn ask(aws: &Aws, principal: &str, question: &Question) -> Result<Vec<EvaluationResult>, Error> {
    let actions = question.actions.iter().map(|action| (*action).to_owned()).collect();
    let request = aws.iam.simulate_principal_policy().policy_source_arn(principal).set_action_names(Some(actions));
    let request = request.set_resource_arns(Some(question.resources.clone()));
    let request = request.set_context_entries(Some(question.context.clone()));
    let pages = request.into_paginator().items().send().try_collect().await;
    pages.failed_to(|| format!("simulate the policies of {principal}")).map_err(|error| match error.kind() {
        ErrorKind::Denied => error.hint("allow iam:SimulatePrincipalPolicy, which changes nothing"),
        _ => error,
    })
}

fn denied(result: &EvaluationResult) -> Option<Denied> {
    let by = match &result.eval_decision {
        PolicyEvaluationDecisionType::Allowed => return None,
        _ if result.organizations_decision_detail.as_ref().is_some_and(|it| !it.allowed_by_organizations) => {
            DeniedBy::ServiceControlPolicy
        }
        _ if is_outside_the_boundary(result) => DeniedBy::PermissionsBoundary,
        PolicyEvaluationDecisionType::ExplicitDeny => DeniedBy::Statement,
        _ => DeniedBy::NoPolicy,
    };
    let resource = result.eval_resource_name.clone().unwrap_or_default();
    // With resources in the request, the keys stand with each of these (API reference, EvaluationResult).
    let of_resources =
        result.resource_specific_results().iter().flat_map(ResourceSpecificResult::missing_context_values);
    let unknown_keys = result.missing_context_values().iter().chain(of_resources).cloned().collect();
    Some(Denied { action: result.eval_action_name.clone(), resource, by, unknown_keys })
}

fn is_outside_the_boundary(result: &EvaluationResult) -> bool {
    let of_resources = result.resource_specific_results().iter();
    let of_resources = of_resources.filter_map(|it| it.permissions_boundary_decision_detail.as_ref());
    let mut details = result.permissions_boundary_decision_detail.iter().chain(of_resources);
    details.any(|detail| !detail.allowed_by_permissions_boundary)
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
