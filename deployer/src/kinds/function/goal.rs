//! What the function should be: the goal that the stack makes of the configuration, and what Lambda is asked to set.

use std::{collections::BTreeMap, time::Duration};

use aws_sdk_lambda::types::{Environment, VpcConfig};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{config::Architecture, deployment::facts::Former};

pub(super) const HANDLER: &str = "bootstrap";
const RUNTIME: &str = "provided.al2023";

/// What UpdateFunctionConfiguration sets, by field; pure data that can be compared and shown.
pub(super) type Fields = BTreeMap<&'static str, Value>;

/// The code and the configuration that the function should have.
#[derive(Clone, Serialize)]
pub(crate) struct Goal {
    pub(crate) role_arn: String,
    pub(crate) timeout: Duration,
    pub(crate) memory_mb: u32,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) architecture: Architecture,
    /// Empty outside a VPC.
    pub(crate) vpc: Vpc,
    /// Digest of the sources that the code is built from.
    pub(crate) source: String,
    #[serde(skip)]
    pub(crate) former: Former,
    /// What the role has to allow, if it exists without the deployment.
    #[serde(skip)]
    pub(crate) existing_role_needs: Option<Value>,
    /// Whether the secret is there already, and so names a user.
    #[serde(skip)]
    pub(crate) secret_is_there: bool,
}

/// The network that a function is in: ids of subnets and of security groups, each sorted.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Vpc {
    subnets: Vec<String>,
    security_groups: Vec<String>,
}

impl Vpc {
    pub(crate) fn new(mut subnets: Vec<String>, mut security_groups: Vec<String>) -> Self {
        subnets.sort();
        security_groups.sort();
        Self { subnets, security_groups }
    }

    /// With empty lists, the function leaves its VPC.
    pub(super) fn config(&self) -> VpcConfig {
        VpcConfig::builder()
            .set_subnet_ids(Some(self.subnets.clone()))
            .set_security_group_ids(Some(self.security_groups.clone()))
            .build()
    }

    /// None outside a VPC.
    pub(super) fn shown(&self) -> Value {
        self.subnets.iter().chain(&self.security_groups).map(String::as_str).collect()
    }
}

impl Goal {
    /// The configuration is checked against Lambda's limits, for the memory too.
    pub(super) fn timeout_seconds(&self) -> i32 {
        i32::try_from(self.timeout.as_secs()).unwrap_or(i32::MAX)
    }

    pub(super) fn memory_size(&self) -> i32 {
        i32::try_from(self.memory_mb).unwrap_or(i32::MAX)
    }

    pub(in crate::kinds) fn fields(&self) -> Fields {
        Fields::from([
            ("environment", json!(self.environment)),
            ("handler", json!(HANDLER)),
            ("memory_size", json!(self.memory_size())),
            ("role", json!(self.role_arn)),
            ("runtime", json!(RUNTIME)),
            ("timeout", json!(self.timeout_seconds())),
            ("vpc", self.vpc.shown()),
        ])
    }

    pub(super) fn environment(&self) -> Environment {
        Environment::builder().set_variables(Some(self.environment.clone().into_iter().collect())).build()
    }
}
