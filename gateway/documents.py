"""Reads the settings and the secrets from their files. A settings file may be YAML written by hand
or JSON written by infrastructure, which is YAML too.
"""

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import ValidationError

from contract.base import Document

DocumentType = TypeVar("DocumentType", bound=Document)


class UnusableDocument(Exception):
    """A settings file is missing or wrong; the message names the file and the fields, no values."""


def read_document(path: Path, kind: type[DocumentType]) -> DocumentType:
    """A document from its file.

    Raises:
        UnusableDocument: it cannot be read or does not validate.
    """
    try:
        content = yaml.load(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        return kind.model_validate(content)
    except OSError as error:
        raise UnusableDocument(f"{path}: {error.strerror}") from error
    except yaml.MarkedYAMLError as error:
        where = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        # Not chained, here and below: the original texts quote values, and one document is secret.
        raise UnusableDocument(f"{path}{where}: this is no valid YAML ({error.problem})") from None
    except yaml.YAMLError:
        raise UnusableDocument(f"{path}: this is no valid YAML") from None
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'document'}: {fault['msg']}"
            for fault in error.errors(include_input=False, include_url=False)
        )
        raise UnusableDocument(f"{path}: {faults}") from None
