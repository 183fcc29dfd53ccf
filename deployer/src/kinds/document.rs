//! Our Systems Manager document: it runs the configured script with the secret's ARN, and nothing else. `AWS-RunShellScript`
//! would be a root shell for the function.

use std::time::Duration;

use aws_sdk_ssm::types::{DocumentDescription, DocumentFormat, DocumentType, ResourceTypeForTagging};
use contract::{AWSCURRENT, AWSPENDING, DocumentVariable, VERSION_ID, VERSION_STAGE};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    aws::Aws,
    digest,
    engine::{
        eventually::{CONSISTENT_WITHIN, Pauses},
        kind::{Context, Going},
        op::{Address, Effect, Op, ResourceKind, Verb},
        owned::{Found, Tagged},
        tags::{self, Tags},
    },
    error::{Error, FailedTo as _, absent_is_none},
};

pub(crate) struct Document {
    pub(crate) name: String,
}

#[derive(Serialize)]
pub(crate) struct Goal {
    /// Absolute path of the script on the host.
    pub(crate) script: String,
    /// The script's time limit, in whole seconds.
    pub(crate) timeout: Duration,
    /// The secret's ARN without its random characters.
    pub(crate) secret_arn_prefix: String,
}

pub(crate) struct Observed {
    /// What SendCommand runs.
    pub(super) default: Version,
    pub(super) latest: Version,
}

/// A version number and its parsed content.
#[derive(Clone, PartialEq)]
pub(super) struct Version {
    pub(super) number: String,
    pub(super) content: Value,
}

pub(crate) enum Call {
    Create {
        content: Value,
        tags: Tags,
    },
    Update(Value),
    /// Makes the latest version the default.
    SetDefault,
    Delete,
}

const DEFAULT: &str = "$DEFAULT";
const LATEST: &str = "$LATEST";
const TARGET_TYPE: &str = "/AWS::EC2::Instance";

impl Goal {
    /// What the function compares the document with, before it runs on a host.
    pub(crate) fn sha256(&self) -> String {
        digest::sha256(self.content().to_string())
    }

    /// The document's content.
    ///
    /// The parameters reach the script through the environment, so that no text is pasted into a shell. Agents before
    /// 3.3.2746 do not know `ENV_VAR`; for them the guide's fallback pastes the text, which the allowed patterns have made
    /// harmless.
    pub(super) fn content(&self) -> Value {
        let arn = contract::DOCUMENT_PARAMETER;
        let variable = |parameter: &str| format!("SSM_{parameter}");
        let or_pasted = |parameter: &str| {
            let name = variable(parameter);
            format!("if [ -z \"${{{name}+x}}\" ]; then export {name}=\"{{{{{parameter}}}}}\"; fi")
        };
        let exported = |it: DocumentVariable| format!("{}=\"${}\"", it.variable, variable(it.parameter));
        let export = format!(
            "if [ -n \"${}\" ]; then export {} {}; fi",
            variable(VERSION_ID.parameter),
            exported(VERSION_ID),
            exported(VERSION_STAGE)
        );
        json!({
            "schemaVersion": "2.2",
            "description": "Tells this host to fetch the SMTP credential that is being rotated.",
            "parameters": {
                arn: {
                    "type": "String",
                    "description": "ARN of the secret that the script fetches.",
                    "allowedPattern": self.allowed_pattern(),
                    "interpolationType": "ENV_VAR",
                },
                VERSION_ID.parameter: {
                    "type": "String",
                    "description": "Id of the version that the script fetches; empty: the one with the label.",
                    "default": "",
                    "allowedPattern": "^([A-Za-z0-9-]{32,64})?$",
                    "interpolationType": "ENV_VAR",
                },
                VERSION_STAGE.parameter: {
                    "type": "String",
                    "description": "Label of the version that the script fetches.",
                    "default": AWSPENDING,
                    "allowedPattern": format!("^({AWSPENDING}|{AWSCURRENT})$"),
                    "interpolationType": "ENV_VAR",
                },
            },
            "mainSteps": [{
                "action": "aws:runShellScript",
                "name": "rotateSmtp",
                "precondition": {"StringEquals": ["platformType", "Linux"]},
                "inputs": {
                    "timeoutSeconds": self.timeout.as_secs().to_string(),
                    "runCommand": [
                        or_pasted(arn),
                        or_pasted(VERSION_ID.parameter),
                        or_pasted(VERSION_STAGE.parameter),
                        export,
                        format!("exec {} \"${}\"", self.script, variable(arn)),
                    ],
                },
            }],
        })
    }

    /// Exactly this secret, whatever its six random characters are.
    fn allowed_pattern(&self) -> String {
        let escape = |c: char| if ".+".contains(c) { format!("\\{c}") } else { c.to_string() };
        let prefix: String = self.secret_arn_prefix.chars().map(escape).collect();
        format!("^{prefix}-[A-Za-z0-9]{{6}}$")
    }
}

impl Tagged for Document {
    type Goal = Goal;
    type Observed = Observed;
    type Call = Call;

    const TAG_ACTIONS: [&'static str; 2] = ["ssm:AddTagsToResource", "ssm:RemoveTagsFromResource"];
    const CONFLICTS: &'static [&'static str] =
        &["DocumentAlreadyExists", "DuplicateDocumentContent", "InvalidDocument", "InvalidResourceId"];
    const EFFECTS: &'static [Effect] = &[Effect::DisturbsRotation];
    const NAME_KEY: &'static str = "names.document";

    fn address(&self) -> Address {
        Address::new(ResourceKind::Document, &self.name)
    }

    async fn observe(&self, aws: &Aws) -> Result<Option<Found<Observed>>, Error> {
        let name = &self.name;
        let Some(default) = self.version(aws, DEFAULT).await? else { return Ok(None) };
        let tags = aws.ssm.list_tags_for_resource().resource_type(ResourceTypeForTagging::Document).resource_id(name);
        let (latest, tags) = tokio::join!(self.version(aws, LATEST), tags.send());
        let Some(latest) = latest? else { return Ok(None) };
        let tags = tags.failed_to(|| format!("read the tags of document {name}"))?.tag_list;
        let tags = tags::read(tags, |tag| (Some(tag.key), Some(tag.value)));
        Ok(Some(Found { tags, observed: Observed { default, latest } }))
    }

    fn create(&self, goal: &Goal, tags: Tags) -> Vec<(Op, Call)> {
        let content = goal.content();
        let op = Op::new(Verb::Create, "ssm:CreateDocument").sets("content", content.clone());
        vec![(op.sets("tags", tags::shown(&tags)), Call::Create { content, tags })]
    }

    /// A changed content is a new version, which is then made the default. Either may have happened already.
    fn update(&self, goal: &Goal, found: &Found<Observed>) -> Result<Vec<(Op, Call)>, Error> {
        let Observed { default, latest } = &found.observed;
        let goal = goal.content();
        if default.content == goal {
            return Ok(Vec::new());
        }
        let mut ops = Vec::new();
        let mut version = latest.number.clone();
        if latest.content != goal {
            let op = Op::new(Verb::Update, "ssm:UpdateDocument");
            ops.push((op.with("content", Some(latest.content.clone()), Some(goal.clone())), Call::Update(goal)));
            version = latest.number.parse::<u64>().map_or(version, |number| (number + 1).to_string());
        }
        let op = Op::new(Verb::Update, "ssm:UpdateDocumentDefaultVersion");
        let op = op.with("default_version", Some(default.number.as_str().into()), Some(version.into()));
        ops.push((op, Call::SetDefault));
        Ok(ops)
    }

    fn delete(&self, _: &Found<Observed>, _: Going<'_>) -> Result<Vec<(Op, Call)>, Error> {
        Ok(vec![(Op::new(Verb::Delete, "ssm:DeleteDocument"), Call::Delete)])
    }

    async fn run(&self, context: &Context, call: Call) -> Result<(), Error> {
        let (ssm, name) = (&context.aws.ssm, &self.name);
        match call {
            Call::Create { content, tags } => {
                let request = ssm.create_document().name(name).content(content.to_string());
                let request = request.document_type(DocumentType::Command).document_format(DocumentFormat::Json);
                let request = request.target_type(TARGET_TYPE).set_tags(Some(tags::of_systems_manager(&tags)));
                request.send().await.failed_to(|| format!("create document {name}")).map(drop)
            }
            Call::Update(goal) => {
                let request = ssm.update_document().name(name).content(goal.to_string());
                let request = request.document_format(DocumentFormat::Json).document_version(LATEST);
                // Without it the new version may run on nothing (issue threads of Systems Manager).
                let request = request.target_type(TARGET_TYPE);
                request.send().await.failed_to(|| format!("update document {name}")).map(drop)
            }
            Call::SetDefault => self.set_default(context).await,
            Call::Delete => {
                ssm.delete_document().name(name).send().await.failed_to(|| format!("delete document {name}")).map(drop)
            }
        }
    }

    async fn set_tags(&self, aws: &Aws, tags: Tags) -> Result<(), Error> {
        let request = aws.ssm.add_tags_to_resource().resource_type(ResourceTypeForTagging::Document);
        let request = request.resource_id(&self.name).set_tags(Some(tags::of_systems_manager(&tags)));
        request.send().await.failed_to(|| format!("tag document {}", self.name)).map(drop)
    }

    async fn remove_tags(&self, aws: &Aws, keys: Vec<String>) -> Result<(), Error> {
        let request = aws.ssm.remove_tags_from_resource().resource_type(ResourceTypeForTagging::Document);
        let request = request.resource_id(&self.name).set_tag_keys(Some(keys));
        request.send().await.failed_to(|| format!("untag document {}", self.name)).map(drop)
    }
}

impl Document {
    async fn version(&self, aws: &Aws, which: &str) -> Result<Option<Version>, Error> {
        let name = &self.name;
        let answer = aws.ssm.get_document().name(name).document_version(which).send().await;
        let answer = answer.failed_to(|| format!("read document {name}"));
        Ok(absent_is_none(answer, &["InvalidDocument"])?.map(|document| {
            let text = document.content.unwrap_or_default();
            let content = serde_json::from_str(&text).unwrap_or(Value::String(text));
            Version { number: document.document_version.unwrap_or_default(), content }
        }))
    }

    /// An update is `Updating` for a moment; its version cannot be the default before it is `Active`.
    async fn set_default(&self, context: &Context) -> Result<(), Error> {
        let (ssm, name) = (&context.aws.ssm, &self.name);
        let mut pauses = Pauses::within(CONSISTENT_WITHIN);
        loop {
            let answer = ssm.describe_document().name(name).document_version(LATEST).send().await;
            let document = answer
                .failed_to(|| format!("read document {name}"))?
                .document
                .unwrap_or_else(|| DocumentDescription::builder().build());
            if document.status.as_ref().is_some_and(|status| status.as_str() == "Active") {
                let version = document.document_version.unwrap_or_default();
                let answer = ssm.update_document_default_version().name(name).document_version(version).send().await;
                return answer.failed_to(|| format!("set the default version of document {name}")).map(drop);
            }
            if !pauses.pause(&context.progress, "Systems Manager makes the new version active").await? {
                let status = document.status.map(|status| status.as_str().to_owned()).unwrap_or_default();
                let information = document.status_information.unwrap_or_default();
                return Err(Error::new(format!("document {name} does not become Active"))
                    .cause(format!("its latest version is {status}: {information}"))
                    .hint("run apply again in a minute"));
            }
        }
    }
}
