//! `function`: what Lambda and CloudWatch Logs accept.

use crate::config::{
    Architecture, Function, LOG_RETENTION_DAYS, LogLevel, Vpc,
    node::At,
    raw::{self, RawFunction, RawVpc},
    reader::{NO_LINE_BREAK, Reader, if_given, or_default, required},
};

impl Reader<'_> {
    pub(super) fn function(&mut self, raw: &RawFunction) -> Option<Function> {
        let memory_mb = or_default(&raw.memory, raw::DEFAULT_MEMORY, |leaf| {
            self.number("function.memory", leaf, raw::MIN_MEMORY..=raw::MAX_MEMORY)
        });
        let timeout = self.duration_or("function.timeout", &raw.timeout, raw::DEFAULT_FUNCTION_TIMEOUT);
        let timeout = timeout.and_then(|timeout| match raw.timeout.get() {
            Some(leaf) if timeout > raw::LONGEST_INVOCATION => {
                self.refuse(leaf.at, "a Lambda function may run for 15 minutes at most", "write 15m or less")
            }
            _ => Some(timeout),
        });
        let architecture = or_default(&raw.architecture, raw::DEFAULT_ARCHITECTURE, |leaf| {
            self.choice("function.architecture", leaf, &Architecture::ALL)
        });
        let log_level = or_default(&raw.log_level, raw::DEFAULT_LOG_LEVEL, |leaf| {
            self.choice("function.log_level", leaf, &LogLevel::ALL)
        });
        let retention =
            self.days("function.log_retention", &raw.log_retention, raw::DEFAULT_LOG_RETENTION, "such as 30d");
        let log_retention_days = retention.and_then(|(days, at)| self.log_retention(days, at));
        let role = if_given(&raw.role, |leaf| self.parsed("function.role", leaf));
        let role_path = if_given(&raw.role_path, |leaf| self.parsed("function.role_path", leaf));
        let role_permissions_boundary =
            if_given(&raw.role_permissions_boundary, |leaf| self.parsed("function.role_permissions_boundary", leaf));
        if raw.role.get().is_some() {
            let given = [("role_path", &raw.role_path), ("role_permissions_boundary", &raw.role_permissions_boundary)];
            for (key, leaf) in given.into_iter().filter_map(|(key, leaf)| Some((key, leaf.get()?))) {
                let hint = format!("remove `{key}`: the deployer never changes an existing role");
                self.no_effect(leaf.at, &format!("function.{key}"), "beside `function.role`", hint);
            }
        }
        let vpc = if_given(&raw.vpc, |raw| self.vpc(raw));
        let package = if_given(&raw.package, |leaf| match self.text("function.package", leaf)? {
            path if path.ends_with('\n') => self.refuse(leaf.at, "no file has this name", NO_LINE_BREAK),
            path => Some(path.to_owned()),
        });

        Some(Function {
            memory_mb: memory_mb?,
            timeout: timeout?,
            architecture: architecture?,
            log_level: log_level?,
            log_retention_days: log_retention_days?,
            role: role?,
            role_path: role_path?,
            role_permissions_boundary: role_permissions_boundary?,
            vpc: vpc?,
            package: package?.map(|path| self.source.path.with_file_name("").join(path)),
        })
    }

    fn vpc(&mut self, raw: &RawVpc) -> Option<Vpc> {
        let subnets =
            required(&raw.subnets, |leaf| self.list("function.vpc.subnets", leaf, raw::MAX_SUBNETS, str::parse));
        let groups = required(&raw.security_groups, |leaf| {
            self.list("function.vpc.security_groups", leaf, raw::MAX_SECURITY_GROUPS, str::parse)
        });
        Some(Vpc { subnets: subnets?, security_groups: groups? })
    }

    fn log_retention(&mut self, days: u64, at: Option<At>) -> Option<u32> {
        if let Some(accepted) = LOG_RETENTION_DAYS.into_iter().find(|accepted| u64::from(*accepted) == days) {
            return Some(accepted);
        }
        let longer = LOG_RETENTION_DAYS.into_iter().find(|accepted| u64::from(*accepted) > days);
        let longest = LOG_RETENTION_DAYS[LOG_RETENTION_DAYS.len() - 1];
        let message = format!("CloudWatch Logs cannot keep a log for {days}d");
        let hint =
            format!("write {}d: CloudWatch Logs accepts only certain numbers of days", longer.unwrap_or(longest));
        self.refuse(at?, message, hint)
    }
}
