//! Error codes of AWS that both sides tell apart.

/// AWS does not allow the call to whoever makes it. SNS has a word of its own (API reference of each service, "Common errors").
pub const DENIED: [&str; 3] = ["AccessDenied", "AccessDeniedException", "AuthorizationError"];

/// AWS asks for fewer calls; it refused this one (API reference of each service, "Common errors").
pub const THROTTLED: [&str; 4] =
    ["RequestLimitExceeded", "Throttling", "ThrottlingException", "TooManyRequestsException"];
