class Deployer < Formula
  desc "Deploys the rotation of Amazon SES SMTP credentials from one YAML file"
  homepage "https://github.com/OWNER/deployer"
  version "0.1.0"
  license any_of: ["MIT", "Apache-2.0"]

  on_macos do
    on_arm do
      url "https://github.com/OWNER/deployer/releases/download/v#{version}/deployer-#{version}-aarch64-apple-darwin.tar.gz"
      sha256 "0000000000000000000000000000000000000000000000000000000000000000"
    end
    on_intel do
      url "https://github.com/OWNER/deployer/releases/download/v#{version}/deployer-#{version}-x86_64-apple-darwin.tar.gz"
      sha256 "0000000000000000000000000000000000000000000000000000000000000000"
    end
  end

  on_linux do
    on_arm do
      url "https://github.com/OWNER/deployer/releases/download/v#{version}/deployer-#{version}-aarch64-unknown-linux-gnu.tar.gz"
      sha256 "0000000000000000000000000000000000000000000000000000000000000000"
    end
    on_intel do
      url "https://github.com/OWNER/deployer/releases/download/v#{version}/deployer-#{version}-x86_64-unknown-linux-gnu.tar.gz"
      sha256 "0000000000000000000000000000000000000000000000000000000000000000"
    end
  end

  def install
    bin.install "deployer"
    man1.install Dir["man/*.1"]
    bash_completion.install "completions/deployer.bash" => "deployer"
    fish_completion.install "completions/deployer.fish"
    zsh_completion.install "completions/deployer.zsh" => "_deployer"
    pkgshare.install "config.example.yaml", "examples"
  end

  test do
    (testpath/"config.yaml").write <<~YAML
      name: mail-prod
      region: eu-west-1
      secret: {name: mail-prod/smtp}
      iam_user: {name: mail-prod-smtp}
    YAML
    assert_match "config.yaml is valid", shell_output("#{bin}/deployer validate")
  end
end
