/// A group of regions that has accounts, ARNs and a DNS suffix of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// How its regions' names begin.
    prefix: &'static str,
    /// As in an ARN: `aws`, `aws-cn`.
    pub id: &'static str,
    /// What its endpoints' names end in: `amazonaws.com`.
    pub dns_suffix: &'static str,
    /// Whether Amazon SES is in any of its regions (botocore's endpoints.json).
    pub has_ses: bool,
}

/// Every partition but `aws`, which has all other regions (botocore's partitions.json). No prefix begins another one.
const OTHERS: [Partition; 7] = [
    Partition { prefix: "cn-", id: "aws-cn", dns_suffix: "amazonaws.com.cn", has_ses: false },
    Partition { prefix: "eusc-", id: "aws-eusc", dns_suffix: "amazonaws.eu", has_ses: true },
    Partition { prefix: "us-gov-", id: "aws-us-gov", dns_suffix: "amazonaws.com", has_ses: true },
    Partition { prefix: "us-iso-", id: "aws-iso", dns_suffix: "c2s.ic.gov", has_ses: false },
    Partition { prefix: "us-isob-", id: "aws-iso-b", dns_suffix: "sc2s.sgov.gov", has_ses: false },
    Partition { prefix: "eu-isoe-", id: "aws-iso-e", dns_suffix: "cloud.adc-e.uk", has_ses: false },
    Partition { prefix: "us-isof-", id: "aws-iso-f", dns_suffix: "csp.hci.ic.gov", has_ses: false },
];

impl Partition {
    /// The partition of a region.
    #[must_use]
    pub fn of_region(region: &str) -> Self {
        let other = OTHERS.into_iter().find(|partition| region.starts_with(partition.prefix));
        other.unwrap_or(Self { prefix: "", id: "aws", dns_suffix: "amazonaws.com", has_ses: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_has_the_suffix_of_its_partition() {
        for (region, id, suffix) in [
            ("eu-west-1", "aws", "amazonaws.com"),
            ("cn-north-1", "aws-cn", "amazonaws.com.cn"),
            ("eusc-de-east-1", "aws-eusc", "amazonaws.eu"),
            ("us-gov-west-1", "aws-us-gov", "amazonaws.com"),
            ("us-isob-east-1", "aws-iso-b", "sc2s.sgov.gov"),
        ] {
            let partition = Partition::of_region(region);
            assert_eq!((partition.id, partition.dns_suffix), (id, suffix), "{region}");
        }
    }
}
