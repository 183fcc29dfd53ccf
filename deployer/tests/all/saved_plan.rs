//! The plan that was reviewed is the plan that runs.

use crate::support::{calls::NOTHING, deployed::Deployed, example::FUNCTION, faults::Fault};

const PLAN: [&str; 3] = ["plan", "--out", "plan.json"];
const APPLY: [&str; 2] = ["apply", "plan.json"];

#[tokio::test]
async fn the_plan_that_was_reviewed_is_the_plan_that_runs() {
    let deployed = Deployed::before_apply(&[]).await;
    let sandbox = &deployed.sandbox;
    let refused = deployed.run(&["plan", "--out", "config.yaml"]).expect(1).stderr;
    assert!(refused.contains("config.yaml exists and is no plan, so it is not overwritten"), "{refused}");
    let before = deployed.mark();
    for (out, why) in
        [("/dev/stdout", "is not a regular file"), ("none/plan.json", "cause: folder none does not exist\n\nhint: ")]
    {
        let refused = deployed.run(&["plan", "--out", out]).expect(1).stderr;
        assert!(refused.contains(why), "{refused}");
    }
    assert_eq!(deployed.mark(), before, "it is refused before anything is read");
    let saved = deployed.run(&PLAN).expect(0).stderr;
    assert!(saved.contains("`deployer apply plan.json` runs only what is in it"), "{saved}");

    // Only apply takes a plan.
    for verb in ["plan", "status", "validate", "destroy", "policy", "export"] {
        let flags = if verb == "export" { &["--terraform", "folder"][..] } else { &[] };
        let refused = sandbox.deployer(&[&[verb], flags, &["plan.json"]].concat()).expect(1).stderr;
        assert!(refused.starts_with("error: plan.json is a saved plan and no configuration\n"), "{verb}: {refused}");
        assert!(refused.contains("`deployer apply plan.json` runs what is in the plan"), "{refused}");
        assert!(refused.contains("the file that it was made from: config.yaml"), "{refused}");
    }

    // Somebody changes the file.
    let before = deployed.mark();
    sandbox.config(&[("memory: 128", "memory: 256")]);
    let refused = sandbox.deployer(&APPLY).expect(17).stderr;
    assert!(refused.contains("cause: function.memory was 128, and is 256\n"), "{refused}");
    assert!(refused.contains("make the plan again and review it: `deployer plan --out plan.json`"), "{refused}");
    let refused = sandbox.deployer(&[&APPLY[..], &["--stop-mail"]].concat()).expect(1).stderr;
    assert!(refused.contains("--stop-mail is part of a plan"), "{refused}");
    assert_eq!(sandbox.mutations(before), NOTHING);
    sandbox.config(&[]);

    // A run that failed half way is continued by the same plan.
    sandbox.faults(&[Fault::refuse("lambda:CreateFunction", "CodeStorageExceededException")]);
    let failed = sandbox.deployer(&APPLY).expect(11).stderr;
    assert!(failed.contains("remove the cause of each error, then run `deployer apply plan.json` again"), "{failed}");
    let applied = sandbox.deployer(&APPLY).expect(0);
    assert!(applied.stderr.contains("rotation completed"), "{}", applied.stderr);
    deployed.run(&["plan", "--detailed-exitcode"]).expect(0);
    let again = sandbox.deployer(&[&APPLY[..], &["--detailed-exitcode"]].concat()).expect(0).stdout;
    assert!(again.contains("No changes."), "{again}");

    // Somebody changes AWS.
    sandbox.config(&[("memory: 128", "memory: 256")]);
    deployed.run(&PLAN).expect(0);
    set_memory(&deployed, 512).await;
    let before = deployed.mark();
    let refused = sandbox.deployer(&APPLY).expect(17).stderr;
    assert!(refused.contains(&format!("error: function {FUNCTION} changed since the plan of ")), "{refused}");
    assert!(refused.contains("memory_size was 128, and is 512"), "{refused}");
    assert_eq!(sandbox.mutations(before), NOTHING);
    set_memory(&deployed, 128).await;
    sandbox.deployer(&[&APPLY[..], &["--detailed-exitcode"]].concat()).expect(2);

    deployed.run(&["plan", "--destroy", "--stop-mail", "--out", "plan.json"]).expect(0);
    let destroyed = sandbox.deployer(&APPLY).expect(0).stdout;
    assert!(destroyed.contains("Destroy complete"), "{destroyed}");
    deployed.run(&["plan", "--destroy", "--stop-mail", "--detailed-exitcode"]).expect(0);
}

async fn set_memory(deployed: &Deployed, size: i32) {
    let request = deployed.aws.lambda.update_function_configuration().function_name(FUNCTION);
    request.memory_size(size).send().await.unwrap();
}
