use std::{collections::BTreeSet, path::Path};

use super::*;
use crate::{
    aws::Identity,
    config,
    deployment::{names::Names, policy},
    stack,
};

fn example() -> Deployment {
    let text = include_str!("../../../config.example.yaml");
    let config = config::parse(Path::new("config.yaml"), text).unwrap().remove(0);
    let (account_id, arn) = ("123456789012".to_owned(), "arn".to_owned());
    let names =
        Names::new(&config, &Identity { account_id, partition: "aws".to_owned(), arn: arn.clone(), expires: None });
    Deployment::new(config, names, arn)
}

fn module() -> String {
    MODULE.iter().map(|(_, text)| *text).collect()
}

#[test]
fn the_module_has_every_file_of_its_folder() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/terraform/module");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let files: BTreeSet<_> = files.filter(|name| Path::new(name).extension().is_some_and(|it| it == "tf")).collect();
    assert_eq!(files, MODULE.iter().map(|(name, _)| (*name).to_owned()).collect());
}

#[test]
fn the_module_takes_what_is_exported_and_makes_what_is_imported() {
    let (deployment, module) = (example(), module());
    for (key, value) in arguments(&deployment.config, "x86_64.zip").into_iter().skip(1) {
        let declared = module.split(&format!("variable \"{key}\" {{")).nth(1);
        let declared = declared.unwrap_or_else(|| panic!("{key}")).split("\nvariable ").next().unwrap();
        let fields = value.as_object().filter(|_| key != "tags").into_iter().flatten();
        for (field, _) in fields {
            assert!(declared.split_whitespace().any(|word| word == field), "{key}.{field}: {declared}");
        }
    }
    let subscription = Some("arn:aws:sns:eu-west-1:123456789012:mail-prod-rotation:1".to_owned());
    let imports = imports(&deployment, &Arns { secret: "arn".into(), subscription });
    for (to, _) in &imports {
        let (kind, name) = to.trim_end_matches("[0]").split_once('.').unwrap();
        assert!(module.contains(&format!("resource \"{kind}\" \"{name}\" {{")), "{to}");
    }
    let made = module.matches("\nresource \"").count() + usize::from(module.starts_with("resource \""));
    assert_eq!(imports.len() + 1, made, "everything but the secret's first version is imported");
}

#[test]
fn an_export_is_written_in_terraforms_language() {
    let mut example = example();
    example.config.tags.insert("cost-centre".to_owned(), "${no} %{template}".to_owned());
    let arns = Arns { secret: "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a".into(), subscription: None };
    let texts =
        [provider("eu-west-1", Some("123456789012")), deployment(&example, "x86_64.zip", &arns)].map(Result::unwrap);
    insta::assert_snapshot!(texts.join("\n"));
}

#[test]
fn the_example_ignores_the_tags_that_an_export_ignores() {
    let example = include_str!("../../../examples/terraform/main.tf");
    for tag in IGNORED_TAGS {
        assert!(example.contains(&format!("\"{tag}\",\n")), "{tag}");
    }
}

/// The real Terraform shows that they are the same; this finds a change of the deployer that the module does not have, without it.
#[test]
fn the_module_knows_every_variable_statement_and_line_that_the_deployer_writes() {
    let Deployment { config, names, .. } = &example();
    let keys = policy::KmsKeys { current: Some("key".into()), older: vec![] };
    let module = module();
    let policies = [
        policy::role_trust(),
        policy::role_permissions(config, names, vec![names.owned_user_arn()], &keys),
        policy::user_permissions(config, names),
        policy::instance_permissions(names, &keys),
    ];
    let statements = policies.iter().flat_map(|policy| policy["Statement"].as_array().unwrap());
    let words = statements.flat_map(|statement| {
        let actions = statement["Action"].as_array().cloned().unwrap_or_else(|| vec![statement["Action"].clone()]);
        actions.into_iter().chain([statement["Sid"].clone()])
    });
    for word in words {
        assert!(module.contains(&word.to_string()), "{word}");
    }
    for variable in stack::environment(config, names, &names.owned_user_arn()).keys() {
        assert!(module.contains(variable), "{variable}");
    }
}

#[test]
fn what_the_module_does_not_make_is_refused() {
    let text =
        "{name: mail, region: eu-west-1, secret: {name: s, existing: true}, iam_user: {name: u, existing: true}}";
    let config = config::parse(Path::new("config.yaml"), text).unwrap().remove(0);
    let refused = check(&config).unwrap_err().in_one_line();
    assert!(refused.contains("what secret.existing, iam_user.existing names"), "{refused}");
    assert!(check(&example().config).is_ok());
}
