"""The CDK app; ``cdk deploy`` runs it (cdk.json)."""

from infra.synth import main

if __name__ == "__main__":
    main()
