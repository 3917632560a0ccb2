"""Which official SDK carries the requests of a provider, and the credentials that only it knows how to use. Pure.

The options have the SDK's own names and reach it as they are; what is left out the SDK looks for where it always does.
"""

import msgspec

from .wires import Wire


class _Sdk(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True, tag_field="kind"):
    @property
    def given(self) -> dict[str, str]:
        """What is set, as arguments of the SDK's client."""
        fields = ((name, getattr(self, name)) for name in self.__struct_fields__)
        return {name: value for name, value in fields if isinstance(value, str)}


class OpenAISdk(_Sdk, frozen=True, tag="openai"):
    organization: str | None = None
    project: str | None = None


class AzureSdk(_Sdk, frozen=True, tag="azure"):
    """`base_url` of the entry is the resource's endpoint. `azure_ad`: sign in as the machine or the person that runs the
    server (needs the package azure-identity)."""

    api_version: str | None = None
    azure_deployment: str | None = None
    azure_ad_token: str | None = None
    azure_ad: bool = False


class AnthropicSdk(_Sdk, frozen=True, tag="anthropic"):
    auth_token: str | None = None
    profile: str | None = None


class BedrockSdk(_Sdk, frozen=True, tag="bedrock"):
    """All but an `api_key` in the entry needs the package boto3."""

    aws_region: str | None = None
    aws_profile: str | None = None
    aws_access_key: str | None = None
    aws_secret_key: str | None = None
    aws_session_token: str | None = None


class GeminiSdk(_Sdk, frozen=True, tag="gemini"):
    """Google AI with an API key. Needs the package google-genai."""


class VertexSdk(_Sdk, frozen=True, tag="vertex"):
    """Claude or Gemini in Google's cloud. Claude needs the package google-auth unless it has an `access_token`, Gemini
    google-genai."""

    region: str | None = None
    project_id: str | None = None
    access_token: str | None = None


Sdk = OpenAISdk | AzureSdk | AnthropicSdk | BedrockSdk | GeminiSdk | VertexSdk

_SECRETS = ("auth_token", "aws_access_key", "aws_secret_key", "aws_session_token", "access_token", "azure_ad_token")


def sdk_of(wire: Wire, options: Sdk | None) -> Sdk:
    """The SDK that speaks this wire: the one that `options` are for, else its maker's own. ValueError where none does."""
    match wire, options:
        case (("openai" | "openai_responses"), (OpenAISdk() | AzureSdk() | None)):
            return options or OpenAISdk()
        case "anthropic", (AnthropicSdk() | BedrockSdk() | VertexSdk() | None):
            return options or AnthropicSdk()
        case "gemini", (GeminiSdk() | VertexSdk() | None):
            return options or GeminiSdk()
        case _, None:
            raise ValueError(f"no SDK speaks the wire {wire!r}; 'client' can only be 'native'")
        case _:
            kind = options.__struct_config__.tag
            raise ValueError(f"the SDK {kind!r} does not speak the wire {wire!r}")


def secrets_in(options: Sdk | None) -> tuple[str, ...]:
    """What must never show in a message."""
    return tuple(value for name in _SECRETS if (value := getattr(options, name, None)))
