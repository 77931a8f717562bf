class tqdm:  # noqa: N801
    @staticmethod
    def format_meter(
        n: float,
        total: float,
        elapsed: float,
        ncols: int | None = None,
        prefix: str | None = "",
        ascii: bool | str | None = False,  # noqa: A002
        unit: str = "it",
        rate: float | None = None,
        initial: float = 0,
    ) -> str: ...
