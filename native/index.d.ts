/** Where the compiled addon is expected; it need not exist. */
export declare const addonPath: string

/**
 * Loads the compiled addon. Its functions are typed by `@kvasir/kernels`, the one package that calls them.
 * @throws {Error} what Node reports when the file is missing or does not fit this machine
 */
export declare function loadAddon(): unknown
