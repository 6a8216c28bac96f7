"""~/.aws/config: reading it, and the marked block of profiles in it that run credhelper."""
