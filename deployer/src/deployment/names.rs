//! Every name and ARN that follows from the deployment's name, its region and the account.
//!
//! Nothing else in the deployer makes up a name. What AWS alone knows is in [`crate::deployment::facts`].

use contract::Partition;

use crate::{
    aws::Identity,
    config::{Config, IamPath, ResourceName, Taken},
};

/// The names of one deployment's resources.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    partition: String,
    account_id: String,
    region: String,
    /// Value of the ownership tag: `<region>/<deployment name>`.
    pub(crate) owner: String,
    /// Value of the user's tag: `<region>/<secret name>`.
    pub(crate) secret_of_user: String,
    /// The function's execution role. IAM is global and deployments are regional, so it carries the region.
    pub(crate) role: String,
    /// Path of the role: `/`, or `/mail/`.
    pub(crate) role_path: String,
    /// The role's one inline policy.
    pub(crate) role_policy: String,
    /// The rotation function.
    pub(crate) function: String,
    /// The function's log group; Lambda derives the same name.
    pub(crate) log_group: String,
    /// Our Systems Manager document.
    pub(crate) document: String,
    /// The user's inline policy that lets it send.
    pub(crate) user_policy: String,
    /// The inline policy on the instance's role that lets it read the secret.
    pub(crate) instance_policy: String,
    /// The statements in the function's policy that let Secrets Manager and EventBridge invoke it.
    permissions: [String; 2],
    /// The daily EventBridge rule.
    pub(crate) upkeep: String,
    /// The parameter with the deployment's record.
    pub(crate) record: String,
    /// The parameter with the lease of the run that changes the deployment.
    pub(crate) lease: String,
    /// Of the deployment under the name that it had before.
    pub(crate) former: Option<FormerNames>,
    /// The alarms on the function: that it failed, that Lambda gave an event up, and that no event came.
    pub(crate) alarms: [String; 3],
    /// What their names begin with.
    alarms_prefix: String,
    /// The topic that is told of rotations.
    pub(crate) topic: String,
    /// The secret.
    pub(crate) secret: String,
    /// The IAM user.
    pub(crate) user: String,
    /// Path of a user that we make.
    pub(crate) user_path: String,
}

/// Names that a deployment had under its former name, and that no record holds.
#[derive(Clone, Debug)]
pub(crate) struct FormerNames {
    /// Value of the ownership tag.
    pub(crate) owner: String,
    pub(crate) record: String,
    pub(crate) lease: String,
    /// The user's inline policy.
    pub(crate) user_policy: String,
}

impl FormerNames {
    fn new(name: &str, region: &str) -> Self {
        let record = record(name);
        Self { owner: owner(name, region), lease: lease(&record), record, user_policy: user_policy(name) }
    }
}

fn owner(name: &str, region: &str) -> String {
    format!("{region}/{name}")
}

fn lease(record: &str) -> String {
    format!("{record}/lease")
}

fn user_policy(name: &str) -> String {
    format!("{name}-send")
}

/// The region in an ARN: `arn:PARTITION:SERVICE:REGION:…`.
pub(crate) fn region_of(arn: &str) -> &str {
    arn.split(':').nth(3).unwrap_or_default()
}

/// The folder of all records in Parameter Store.
pub(crate) const RECORDS: &str = "/deployer";

/// The name of a deployment's record.
pub(crate) fn record(deployment: &str) -> String {
    format!("{RECORDS}/{deployment}")
}

/// The log group that Lambda derives from a function's name.
pub(crate) fn log_group_of(function: &str) -> String {
    format!("/aws/lambda/{function}")
}

/// The SES identities that let an address send: itself, its domain, and the domain's parents (SES guide, "Verified identities").
pub(crate) fn identities_of(address: &str) -> Vec<String> {
    let mut identities = vec![address.to_owned()];
    let mut domain = address.rsplit('@').next().unwrap_or_default();
    while domain.contains('.') {
        identities.push(domain.to_owned());
        domain = domain.split_once('.').map_or("", |(_, parent)| parent);
    }
    identities
}

/// The names that a file may choose. Another deployment may have chosen, or derived, the same ones.
pub(crate) fn taken(config: &Config) -> Vec<Taken> {
    let names = Names::in_account(config, "0".repeat(12));
    let here = |key, name: &str| Taken { key, name: name.to_owned(), region: Some(names.region.clone()) };
    let mut taken = vec![here("function", &names.function), here("rule", &names.upkeep)];
    if config.function.role.is_none() {
        // IAM ignores the case of a role's name.
        taken.push(Taken { key: "role", name: names.role.to_lowercase(), region: None });
    }
    if config.instance.as_ref().is_some_and(|instance| instance.document.is_none()) {
        taken.push(here("document", &names.document));
    }
    if config.notify.is_some() {
        taken.push(here("topic", &names.topic));
        // All three begin alike.
        taken.push(here("alarms", &names.alarms[0]));
    }
    taken
}

fn path(configured: Option<&IamPath>) -> String {
    configured.map_or_else(|| "/".to_owned(), ToString::to_string)
}

impl Names {
    /// Derives all names.
    #[must_use]
    pub(crate) fn new(config: &Config, identity: &Identity) -> Self {
        let (name, region) = (&*config.name, &*config.region);
        let given = &config.names;
        let or = |given: Option<&ResourceName>, derived: &str| {
            given.map_or_else(|| format!("{name}-{derived}"), ToString::to_string)
        };
        let function = or(given.function.as_ref(), "rotation");
        let alarms = given.alarms.as_deref().unwrap_or(name);
        let role = config.function.role.as_ref().or(given.role.as_ref());
        Self {
            partition: identity.partition.clone(),
            account_id: identity.account_id.clone(),
            region: region.to_owned(),
            owner: owner(name, region),
            former: config.moved_from.as_ref().map(|former| FormerNames::new(former, region)),
            secret_of_user: format!("{region}/{}", config.secret.name),
            role: role.map_or_else(|| format!("{name}-rotation-{region}"), ToString::to_string),
            role_path: path(config.function.role_path.as_ref()),
            role_policy: format!("{name}-rotation"),
            log_group: log_group_of(&function),
            function,
            document: or(given.document.as_ref(), "rotate-smtp"),
            user_policy: user_policy(name),
            instance_policy: format!("{name}-read-secret-{region}"),
            permissions: [format!("{name}-secretsmanager"), format!("{name}-events")],
            upkeep: or(given.rule.as_ref(), "upkeep"),
            alarms: ["errors", "dropped", "silence"].map(|watched| format!("{alarms}-{watched}")),
            alarms_prefix: alarms.to_owned(),
            record: record(name),
            lease: lease(&record(name)),
            topic: or(given.topic.as_ref(), "rotation"),
            secret: config.secret.name.to_string(),
            user: config.iam_user.name.to_string(),
            user_path: path(config.iam_user.path.as_ref()),
        }
    }

    /// The names of a deployment in this account, which need not be connected to.
    pub(crate) fn in_account(config: &Config, account_id: String) -> Self {
        let partition = Partition::of_region(&config.region).id.to_owned();
        Self::new(config, &Identity { account_id, partition, arn: String::new(), expires: None })
    }

    /// Ids of the statements in the function's policy: Secrets Manager's and EventBridge's.
    pub(crate) fn permissions(&self) -> [String; 2] {
        self.permissions.clone()
    }

    fn regional(&self, service: &str, resource: &str) -> String {
        format!("arn:{}:{service}:{}:{}:{resource}", self.partition, self.region, self.account_id)
    }

    pub(crate) fn iam(&self, resource: &str) -> String {
        format!("arn:{}:iam::{}:{resource}", self.partition, self.account_id)
    }

    /// Of a role that we make. An existing one may have a path: see [`crate::deployment::facts::Facts`].
    pub(crate) fn owned_role_arn(&self) -> String {
        self.iam(&format!("role{}{}", self.role_path, self.role))
    }

    /// Of a user that we make. A referenced user may have a path: see [`crate::deployment::facts::Facts`].
    pub(crate) fn owned_user_arn(&self) -> String {
        self.iam(&format!("user{}{}", self.user_path, self.user))
    }

    /// What IAM authorises calls on the role on. While there is no such role, its path is unknown to IAM.
    pub(crate) fn role_arns(&self) -> Vec<String> {
        self.with_path("role", &self.role_path, &self.role)
    }

    /// As for the role, of a user that we make.
    pub(crate) fn owned_user_arns(&self) -> Vec<String> {
        self.with_path("user", &self.user_path, &self.user)
    }

    fn with_path(&self, kind: &str, path: &str, name: &str) -> Vec<String> {
        let mut arns = vec![self.iam(&format!("{kind}{path}{name}")), self.iam(&format!("{kind}/{name}"))];
        arns.dedup();
        arns
    }

    /// A user or a role that may have any path.
    pub(crate) fn with_any_path(&self, kind: &str, name: &str) -> Vec<String> {
        self.with_path(kind, "/*/", name)
    }

    pub(crate) fn function_arn(&self) -> String {
        self.arn_of_function(&self.function)
    }

    pub(crate) fn arn_of_function(&self, name: &str) -> String {
        self.regional("lambda", &format!("function:{name}"))
    }

    pub(crate) fn upkeep_arn(&self) -> String {
        self.arn_of_rule(&self.upkeep)
    }

    /// Of a rule on the default event bus, whose name is not in it.
    pub(crate) fn arn_of_rule(&self, name: &str) -> String {
        self.regional("events", &format!("rule/{name}"))
    }

    pub(crate) fn topic_arn(&self) -> String {
        self.arn_of_topic(&self.topic)
    }

    pub(crate) fn arn_of_topic(&self, name: &str) -> String {
        self.regional("sns", name)
    }

    pub(crate) fn arn_of_alarm(&self, name: &str) -> String {
        self.regional("cloudwatch", &format!("alarm:{name}"))
    }

    /// Of all alarms of the deployment. Written one by one, they would not fit into a policy.
    pub(crate) fn alarm_arn_pattern(&self) -> String {
        self.arn_of_alarm(&format!("{}-*", self.alarms_prefix))
    }

    pub(crate) fn log_group_arn(&self) -> String {
        self.arn_of_log_group(&self.log_group)
    }

    pub(crate) fn arn_of_log_group(&self, name: &str) -> String {
        self.regional("logs", &format!("log-group:{name}"))
    }

    /// Without the hyphen and the six random characters that Secrets Manager appends.
    pub(crate) fn secret_arn_prefix(&self) -> String {
        self.regional("secretsmanager", &format!("secret:{}", self.secret))
    }

    /// Whether this is the ARN of the secret, whatever its random characters are.
    pub(crate) fn is_arn_of_secret(&self, arn: &str) -> bool {
        arn.strip_prefix(&self.secret_arn_prefix()).is_some_and(|rest| rest.starts_with('-') && rest.len() == 7)
    }

    /// Matches the secret whatever its random characters are, and no secret of a longer name.
    pub(crate) fn secret_arn_pattern(&self) -> String {
        format!("{}-??????", self.secret_arn_prefix())
    }

    /// What Secrets Manager authorises calls on the secret on. While there is no such secret, it has no random characters.
    pub(crate) fn secret_arns(&self) -> Vec<String> {
        vec![self.secret_arn_prefix(), self.secret_arn_pattern()]
    }

    /// Every secret of this account and region.
    pub(crate) fn any_secret_arn(&self) -> String {
        self.regional("secretsmanager", "secret:*")
    }

    /// A parameter's ARN omits the first slash of its name.
    pub(crate) fn parameter_arn(&self, name: &str) -> String {
        self.regional("ssm", &format!("parameter/{}", name.trim_start_matches('/')))
    }

    /// A document of ours, or one of AWS's, which belongs to no account.
    pub(crate) fn document_arn(&self, document: &str) -> String {
        if document == contract::RUN_SHELL_SCRIPT {
            format!("arn:{}:ssm:{}::document/{document}", self.partition, self.region)
        } else {
            self.regional("ssm", &format!("document/{document}"))
        }
    }

    pub(crate) fn instance_arn(&self, id: &str) -> String {
        self.regional("ec2", &format!("instance/{id}"))
    }

    /// Every SES identity of this account and region, or every configuration set.
    pub(crate) fn ses_arn(&self, resource: &str) -> String {
        self.regional("ses", resource)
    }

    pub(crate) fn kms_key_arn(&self, key_id: &str) -> String {
        self.regional("kms", &format!("key/{key_id}"))
    }

    /// The key that is named by its id, by an alias, or by the ARN of either. A policy cannot name an alias as a resource.
    pub(crate) fn key_arn_pattern(&self, key: &str) -> String {
        match key.split_once(":alias/") {
            Some((account, _)) => format!("{account}:key/*"),
            None if key.starts_with("alias/") => self.kms_key_arn("*"),
            None if key.starts_with("arn:") => key.to_owned(),
            None => self.kms_key_arn(key),
        }
    }

    pub(crate) fn kms_via_secretsmanager(&self) -> String {
        let suffix = Partition::of_region(&self.region).dns_suffix;
        format!("secretsmanager.{}.{suffix}", self.region)
    }

    pub(crate) fn region(&self) -> &str {
        &self.region
    }

    /// The twelve digits.
    pub(crate) fn account_id(&self) -> &str {
        &self.account_id
    }
}
