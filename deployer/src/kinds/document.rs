//! Our Systems Manager document: it runs the configured script with the secret's ARN, and nothing
//! else. `AWS-RunShellScript` would be a root shell for the function.

use std::sync::Arc;

use aws_sdk_ssm::types::{DocumentFormat, DocumentType, ResourceTypeForTagging, Tag};
use serde_json::{Value, json};

use crate::{
    aws::Aws,
    deployment::Deployment,
    deployment::facts::Facts,
    engine::eventually::{CONSISTENT_WITHIN, Pauses},
    engine::kind::{Address, Context, Kind, Op, Toward, Verb},
    engine::tags::{self, TagCall, Tags},
    error::{Error, FailedTo as _, absent_is_none},
};

pub(crate) struct Document(pub(crate) Arc<Deployment>);

/// A version number and its parsed content.
#[derive(Clone, PartialEq)]
struct Version {
    number: String,
    content: Value,
}

pub(crate) struct Observed {
    /// What SendCommand runs.
    default: Version,
    latest: Version,
    tags: Tags,
}

pub(crate) enum Call {
    Create {
        content: Value,
        tags: Tags,
    },
    Update(Value),
    /// Makes the latest version the default.
    SetDefault,
    Tags(TagCall),
    Delete,
}

const DEFAULT: &str = "$DEFAULT";
const LATEST: &str = "$LATEST";

impl Document {
    /// The document, pure. The parameter reaches the script through the environment, so that no
    /// text is pasted into a shell. Agents before 3.3.2746 know no `ENV_VAR`; for them the guide's
    /// fallback pastes the text, which the allowed pattern has made harmless.
    fn content(&self) -> Value {
        let parameter = contract::DOCUMENT_PARAMETER;
        let variable = format!("SSM_{parameter}");
        let instance = self.0.config.instance.as_ref();
        let script = instance.map_or("", |instance| instance.script.as_str());
        let seconds = instance.map_or(0, |instance| instance.timeout.as_secs());
        json!({
            "schemaVersion": "2.2",
            "description": "Tells this host to fetch the SMTP credential that is being rotated.",
            "parameters": {
                parameter: {
                    "type": "String",
                    "description": "ARN of the secret whose AWSPENDING version the script fetches.",
                    "allowedPattern": self.allowed_pattern(),
                    "interpolationType": "ENV_VAR",
                },
            },
            "mainSteps": [{
                "action": "aws:runShellScript",
                "name": "rotateSmtp",
                "precondition": {"StringEquals": ["platformType", "Linux"]},
                "inputs": {
                    "timeoutSeconds": seconds.to_string(),
                    "runCommand": [
                        format!("if [ -z \"${{{variable}+x}}\" ]; then export {variable}=\"{{{{{parameter}}}}}\"; fi"),
                        format!("exec {script} \"${variable}\""),
                    ],
                },
            }],
        })
    }

    /// Exactly this secret, whatever its six random characters are.
    fn allowed_pattern(&self) -> String {
        let escape = |c: char| if ".+".contains(c) { format!("\\{c}") } else { c.to_string() };
        let prefix: String = self.0.names.secret_arn_prefix().chars().map(escape).collect();
        format!("^{prefix}-[A-Za-z0-9]{{6}}$")
    }

    async fn version(&self, aws: &Aws, which: &str) -> Result<Option<Version>, Error> {
        let name = &self.0.names.document;
        let answer = aws.ssm.get_document().name(name).document_version(which).send().await;
        let answer = answer.failed_to(|| format!("read document {name}"));
        Ok(absent_is_none(answer, &["InvalidDocument"])?.map(|document| {
            let text = document.content.unwrap_or_default();
            let content = serde_json::from_str(&text).unwrap_or(Value::String(text));
            Version { number: document.document_version.unwrap_or_default(), content }
        }))
    }
}

impl Kind for Document {
    type Observed = Option<Observed>;
    type Call = Call;

    fn address(&self) -> Address {
        Address { kind: "document", name: self.0.names.document.clone() }
    }

    async fn observe(&self, aws: &Aws) -> Result<Option<Observed>, Error> {
        let name = &self.0.names.document;
        let tags = aws.ssm.list_tags_for_resource().resource_type(ResourceTypeForTagging::Document).resource_id(name);
        let (default, latest, tags) = tokio::join!(self.version(aws, DEFAULT), self.version(aws, LATEST), tags.send());
        let (Some(default), Some(latest)) = (default?, latest?) else { return Ok(None) };
        let tags = tags.failed_to(|| format!("read the tags of document {name}"))?.tag_list;
        Ok(Some(Observed { default, latest, tags: tags::read(tags, |tag| (Some(tag.key), Some(tag.value))) }))
    }

    fn decide(&self, toward: Toward, _: &Facts, observed: &Option<Observed>) -> Result<Vec<(Op, Call)>, Error> {
        let Deployment { config, names } = &*self.0;
        let (content, tags) = (self.content(), tags::owned(config, names));
        let Some(observed) = observed else {
            let op = Op::new(Verb::Create, "ssm:CreateDocument").sets("content", content.clone());
            let op = op.sets("tags", tags::shown(&tags));
            return Ok(match toward {
                Toward::Absent { .. } => Vec::new(),
                Toward::Present => vec![(op, Call::Create { content, tags })],
            });
        };
        let way_out = "choose another deployment name, or delete the document first if nothing uses it";
        tags::check_owner(&self.address(), &observed.tags, names, way_out)?;
        if toward != Toward::Present {
            return Ok(vec![(Op::new(Verb::Delete, "ssm:DeleteDocument"), Call::Delete)]);
        }
        let mut ops = set_content(observed, content);
        let calls = tags::ops("ssm:AddTagsToResource", "ssm:RemoveTagsFromResource", &observed.tags, &tags);
        ops.extend(calls.into_iter().map(|(op, call)| (op, Call::Tags(call))));
        Ok(ops)
    }

    async fn run(&self, context: &Context, call: Call) -> Result<(), Error> {
        let (ssm, name) = (&context.aws.ssm, &self.0.names.document);
        match call {
            Call::Create { content: goal, tags } => {
                let request = ssm.create_document().name(name).content(goal.to_string());
                let request = request.document_type(DocumentType::Command).document_format(DocumentFormat::Json);
                let request = request.target_type("/AWS::EC2::Instance").set_tags(Some(ssm_tags(&tags)));
                request.send().await.failed_to(|| format!("create document {name}")).map(drop)
            }
            Call::Update(goal) => {
                let request = ssm.update_document().name(name).content(goal.to_string());
                let request = request.document_format(DocumentFormat::Json).document_version(LATEST);
                request.send().await.failed_to(|| format!("update document {name}")).map(drop)
            }
            Call::SetDefault => self.set_default(context).await,
            Call::Tags(TagCall::Set(tags)) => {
                let request = ssm.add_tags_to_resource().resource_type(ResourceTypeForTagging::Document);
                let request = request.resource_id(name).set_tags(Some(ssm_tags(&tags)));
                request.send().await.failed_to(|| format!("tag document {name}")).map(drop)
            }
            Call::Tags(TagCall::Unset(keys)) => {
                let request = ssm.remove_tags_from_resource().resource_type(ResourceTypeForTagging::Document);
                let request = request.resource_id(name).set_tag_keys(Some(keys));
                request.send().await.failed_to(|| format!("untag document {name}")).map(drop)
            }
            Call::Delete => {
                ssm.delete_document().name(name).send().await.failed_to(|| format!("delete document {name}")).map(drop)
            }
        }
    }
}

impl Document {
    /// An update is `Updating` for a moment; its version cannot be the default before it is `Active`.
    async fn set_default(&self, context: &Context) -> Result<(), Error> {
        let (ssm, name) = (&context.aws.ssm, &self.0.names.document);
        let mut pauses = Pauses::within(CONSISTENT_WITHIN);
        loop {
            let answer = ssm.describe_document().name(name).document_version(LATEST).send().await;
            let document = answer
                .failed_to(|| format!("read document {name}"))?
                .document
                .unwrap_or_else(|| aws_sdk_ssm::types::DocumentDescription::builder().build());
            if document.status.as_ref().is_some_and(|status| status.as_str() == "Active") {
                let version = document.document_version.unwrap_or_default();
                let request = ssm.update_document_default_version().name(name).document_version(version);
                return request
                    .send()
                    .await
                    .failed_to(|| format!("set the default version of document {name}"))
                    .map(drop);
            }
            if !pauses.pause(&context.progress, "Systems Manager makes the new version active").await {
                let status = document.status.map(|status| status.as_str().to_owned()).unwrap_or_default();
                return Err(Error::new(format!("document {name} does not become Active"))
                    .cause(format!(
                        "its latest version is {status}: {}",
                        document.status_information.unwrap_or_default()
                    ))
                    .hint("run apply again in a minute"));
            }
        }
    }
}

/// A changed content is a new version, which is then made the default; either may have happened already.
fn set_content(observed: &Observed, goal: Value) -> Vec<(Op, Call)> {
    let Observed { default, latest, .. } = observed;
    if default.content == goal {
        return Vec::new();
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
    ops
}

fn ssm_tags(tags: &Tags) -> Vec<Tag> {
    // `build` fails only without a key or a value.
    tags.iter().filter_map(|(key, value)| Tag::builder().key(key).value(value).build().ok()).collect()
}
